//! Sessions, carts and orders: what any instance may write and every instance sees at once (S4.1).

use std::fs::File;
use std::io::{self, Read as _};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{FromRow as _, Row as _};

use super::{OfferRow, Store};
use crate::market::Market;

/// Different lines that a cart holds at most.
pub const LINES_MAX: i64 = 50;
/// Pieces of one line at most.
pub const QUANTITY_MAX: u32 = 20;
/// How long an untouched session lives, in seconds: 30 days.
pub const SESSION_SECONDS: i64 = 30 * 24 * 3600;
/// How many expired sessions one round of tidying removes.
const FORGET_MAX: i64 = 500;

/// A visitor's secret: 128 bits from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn new() -> io::Result<Self> {
        random_bytes().map(Self)
    }

    /// Reads what [`Self::text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Sixteen bytes that nobody can guess.
///
/// # Errors
/// If the system has none to give.
pub fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Which line of a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineKey {
    /// The product's number.
    pub product: u32,
    /// Which of its sizes, from 0.
    pub size: u8,
    /// Which of its colours, from 0.
    pub colour: u8,
}

/// One line of a cart, with the offer as it is now.
#[derive(Debug)]
pub struct CartLine {
    /// Which line.
    pub key: LineKey,
    /// How many pieces.
    pub quantity: u32,
    /// The offer.
    pub offer: OfferRow,
}

/// Whether something went into the cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in; the cart now holds so many pieces.
    Holds(i64),
    /// The cart has no room for another line.
    Full,
}

/// Where an order goes.
#[derive(Debug, Clone)]
pub struct Address {
    /// Full name.
    pub name: String,
    /// Email address.
    pub email: String,
    /// Street and number.
    pub street: String,
    /// Postcode.
    pub postcode: String,
    /// City.
    pub city: String,
}

/// An order that was placed.
#[derive(Debug)]
pub struct Order {
    /// Its number.
    pub number: String,
    /// Where it goes.
    pub address: Address,
    /// What it costs, delivery included, in hundredths.
    pub total: i64,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the shop stands alone; sessions end by the calendar, across processes"
)]
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

const LINES: &str = "SELECT o.product, o.category, o.position, o.slug, o.name, o.colours, o.sold_out, o.price, o.was, \
     o.fresh, l.size, l.colour, l.quantity FROM session s JOIN cart_line l ON l.session = s.id \
     JOIN offer o ON o.market = s.market AND o.product = l.product \
     WHERE s.id = ? AND s.market = ? AND s.expires > ? ORDER BY l.product, l.size, l.colour";

fn line(row: &sqlx::sqlite::SqliteRow) -> Result<CartLine, sqlx::Error> {
    let offer = OfferRow::from_row(row)?;
    let key = LineKey { product: offer.product, size: row.try_get(10)?, colour: row.try_get(11)? };
    Ok(CartLine { key, quantity: row.try_get(12)?, offer })
}

impl Store {
    /// What is in the cart; nothing for a session that is unknown or expired.
    pub async fn cart(&self, session: SessionId, market: &Market) -> Result<Vec<CartLine>, sqlx::Error> {
        let rows = sqlx::query(LINES)
            .bind(session.bytes())
            .bind(market.index as i64)
            .bind(now())
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(line).collect()
    }

    /// Whether this market gave out the session and it still lives. One that we never made must not become a visitor's:
    /// whoever put it into his browser knows it too.
    pub async fn is_ours(&self, session: SessionId, market: &Market) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM session WHERE id = ? AND market = ? AND expires > ?)",
        )
        .bind(session.bytes())
        .bind(market.index as i64)
        .bind(now())
        .fetch_one(&self.reads)
        .await
    }

    /// Puts pieces into the cart, beginning the session if it is new.
    pub async fn add(
        &self,
        session: SessionId,
        market: &Market,
        key: LineKey,
        quantity: u32,
    ) -> Result<Added, sqlx::Error> {
        let mut all = self.writes.begin_with("BEGIN IMMEDIATE").await?;
        let now = now();
        // What an expired session left behind must not come back with its number.
        sqlx::query("DELETE FROM cart_line WHERE session = ? AND NOT EXISTS (SELECT 1 FROM session WHERE id = ? AND market = ? AND expires > ?)")
            .bind(session.bytes())
            .bind(session.bytes())
            .bind(market.index as i64)
            .bind(now)
            .execute(&mut *all)
            .await?;
        sqlx::query("INSERT INTO session (id, market, expires) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET market = excluded.market, expires = excluded.expires")
            .bind(session.bytes())
            .bind(market.index as i64)
            .bind(now + SESSION_SECONDS)
            .execute(&mut *all)
            .await?;
        sqlx::query("INSERT INTO cart_line (session, product, size, colour, quantity) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET quantity = min(quantity + excluded.quantity, ?)")
            .bind(session.bytes())
            .bind(key.product)
            .bind(key.size)
            .bind(key.colour)
            .bind(quantity.min(QUANTITY_MAX))
            .bind(QUANTITY_MAX)
            .execute(&mut *all)
            .await?;
        let (lines, pieces): (i64, i64) =
            sqlx::query_as("SELECT count(*), sum(quantity) FROM cart_line WHERE session = ?")
                .bind(session.bytes())
                .fetch_one(&mut *all)
                .await?;
        if lines > LINES_MAX {
            all.rollback().await?;
            return Ok(Added::Full);
        }
        all.commit().await?;
        Ok(Added::Holds(pieces))
    }

    /// Sets how many pieces a line has; 0 removes it. Returns how many pieces the cart holds then.
    pub async fn set(&self, session: SessionId, key: LineKey, quantity: u32) -> Result<i64, sqlx::Error> {
        let mut all = self.writes.begin_with("BEGIN IMMEDIATE").await?;
        if quantity == 0 {
            sqlx::query(
                "DELETE FROM cart_line WHERE session = ? AND product = ? AND size = ? AND colour = ?",
            )
            .bind(session.bytes())
            .bind(key.product)
            .bind(key.size)
            .bind(key.colour)
            .execute(&mut *all)
            .await?;
        } else {
            sqlx::query("UPDATE cart_line SET quantity = ? WHERE session = ? AND product = ? AND size = ? AND colour = ?")
                .bind(quantity.min(QUANTITY_MAX))
                .bind(session.bytes())
                .bind(key.product)
                .bind(key.size)
                .bind(key.colour)
                .execute(&mut *all)
                .await?;
        }
        let pieces: Option<i64> = sqlx::query_scalar("SELECT sum(quantity) FROM cart_line WHERE session = ?")
            .bind(session.bytes())
            .fetch_one(&mut *all)
            .await?;
        all.commit().await?;
        Ok(pieces.unwrap_or(0))
    }

    /// Makes an order of the cart and empties it, in one step: asked twice, the second finds nothing to order.
    /// `None` if the cart is empty.
    pub async fn order(
        &self,
        session: SessionId,
        market: &Market,
        number: &str,
        address: &Address,
    ) -> Result<Option<()>, sqlx::Error> {
        let mut all = self.writes.begin_with("BEGIN IMMEDIATE").await?;
        let now = now();
        let rows = sqlx::query(LINES)
            .bind(session.bytes())
            .bind(market.index as i64)
            .bind(now)
            .fetch_all(&mut *all)
            .await?;
        let lines: Vec<CartLine> = rows.iter().map(line).collect::<Result<_, _>>()?;
        if lines.is_empty() {
            return Ok(None);
        }
        let goods: i64 = lines.iter().map(|line| line.offer.price * i64::from(line.quantity)).sum();
        let delivery = market.delivery(market.money(goods)).minor;
        sqlx::query("INSERT INTO shop_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(number)
            .bind(session.bytes())
            .bind(market.index as i64)
            .bind(now)
            .bind(&address.name)
            .bind(&address.email)
            .bind(&address.street)
            .bind(&address.postcode)
            .bind(&address.city)
            .bind(delivery)
            .bind(goods + delivery)
            .execute(&mut *all)
            .await?;
        for line in &lines {
            sqlx::query("INSERT INTO order_line VALUES (?, ?, ?, ?, ?, ?)")
                .bind(number)
                .bind(line.key.product)
                .bind(line.key.size)
                .bind(line.key.colour)
                .bind(line.quantity)
                .bind(line.offer.price)
                .execute(&mut *all)
                .await?;
        }
        sqlx::query("DELETE FROM cart_line WHERE session = ?")
            .bind(session.bytes())
            .execute(&mut *all)
            .await?;
        all.commit().await?;
        Ok(Some(()))
    }

    /// An order, shown only to the session that placed it.
    pub async fn placed(&self, session: SessionId, number: &str) -> Result<Option<Order>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT number, name, email, street, postcode, city, total FROM shop_order WHERE number = ? AND session = ?",
        )
        .bind(number)
        .bind(session.bytes())
        .fetch_optional(&self.reads)
        .await?;
        row.map(|row| {
            Ok(Order {
                number: row.try_get(0)?,
                address: Address {
                    name: row.try_get(1)?,
                    email: row.try_get(2)?,
                    street: row.try_get(3)?,
                    postcode: row.try_get(4)?,
                    city: row.try_get(5)?,
                },
                total: row.try_get(6)?,
            })
        })
        .transpose()
    }

    /// Removes some expired sessions and their carts. Returns how many.
    pub async fn forget_expired_sessions(&self) -> Result<u64, sqlx::Error> {
        let mut all = self.writes.begin_with("BEGIN IMMEDIATE").await?;
        let now = now();
        sqlx::query("DELETE FROM cart_line WHERE session IN (SELECT id FROM session WHERE expires <= ? ORDER BY expires, id LIMIT ?)")
            .bind(now)
            .bind(FORGET_MAX)
            .execute(&mut *all)
            .await?;
        let gone = sqlx::query("DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires <= ? ORDER BY expires, id LIMIT ?)")
            .bind(now)
            .bind(FORGET_MAX)
            .execute(&mut *all)
            .await?;
        all.commit().await?;
        Ok(gone.rows_affected())
    }
}
