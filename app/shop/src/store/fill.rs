//! Makes and fills the database exactly once, however many instances start at the same moment.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Sqlite};

use crate::catalogue::{Offer, PRODUCTS, Product, offers, product};
use crate::error::ShopError;

/// Raised whenever the tables or what is filled into them change.
const VERSION: i64 = 1;

const LOCK: &str = "shop.lock";
const LOCK_POLL: Duration = Duration::from_millis(20);
const LOCK_POLLS_MAX: u32 = 3_000;

const TABLES: &str = "
CREATE TABLE offer (
    market INTEGER NOT NULL, product INTEGER NOT NULL, category INTEGER NOT NULL, position INTEGER NOT NULL,
    slug TEXT NOT NULL, name TEXT NOT NULL, colours TEXT NOT NULL, sold_out INTEGER NOT NULL,
    price INTEGER NOT NULL, was INTEGER, sale INTEGER, fresh INTEGER, care TEXT NOT NULL, details TEXT NOT NULL,
    PRIMARY KEY (market, product)
) WITHOUT ROWID;
CREATE UNIQUE INDEX offer_shelf ON offer (market, category, position);
CREATE INDEX offer_sale ON offer (market, sale) WHERE sale IS NOT NULL;
CREATE INDEX offer_fresh ON offer (market, fresh) WHERE fresh IS NOT NULL;
CREATE TABLE slug (
    market INTEGER NOT NULL, slug TEXT NOT NULL, product INTEGER NOT NULL, PRIMARY KEY (market, slug)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (name, more, content='', tokenize='unicode61 remove_diacritics 2', prefix='3');
CREATE TABLE session (id BLOB PRIMARY KEY, market INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX session_expires ON session (expires);
CREATE TABLE cart_line (
    session BLOB NOT NULL, product INTEGER NOT NULL, size INTEGER NOT NULL, colour INTEGER NOT NULL,
    quantity INTEGER NOT NULL, PRIMARY KEY (session, product, size, colour)
) WITHOUT ROWID;
CREATE TABLE shop_order (
    number TEXT PRIMARY KEY, session BLOB NOT NULL, market INTEGER NOT NULL, placed INTEGER NOT NULL,
    name TEXT NOT NULL, email TEXT NOT NULL, street TEXT NOT NULL, postcode TEXT NOT NULL, city TEXT NOT NULL,
    delivery INTEGER NOT NULL, total INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE order_line (
    number TEXT NOT NULL, product INTEGER NOT NULL, size INTEGER NOT NULL, colour INTEGER NOT NULL,
    quantity INTEGER NOT NULL, price INTEGER NOT NULL, PRIMARY KEY (number, product, size, colour)
) WITHOUT ROWID;
";

/// One row of an offer, on its way into the database.
struct Row {
    market: usize,
    product: Product,
    offer: Offer,
    position: i64,
    sale: Option<i64>,
    fresh: Option<i64>,
}

/// Fills the database at `path` if nobody has yet. Waits for who is at it, a minute at most.
pub async fn once(folder: &Path, path: &PathBuf) -> Result<(), ShopError> {
    let lock = folder.join(LOCK);
    let _held = take(&lock).await?;
    let filled = async {
        let mut connection = super::connection(path).connect().await?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
        if version == 0 {
            fill(&mut connection).await?;
        }
        connection.close().await?;
        Ok(version)
    };
    match filled.await {
        Ok(0 | VERSION) => Ok(()),
        Ok(_) => Err(ShopError::OtherVersion { path: path.clone() }),
        Err(source) => Err(ShopError::Database { path: path.clone(), source }),
    }
}

/// The lock, held until the file is dropped; the system frees it too when its process dies.
async fn take(path: &Path) -> Result<File, ShopError> {
    let folder = |source| ShopError::Folder { path: path.to_path_buf(), source };
    let file = File::options().create(true).append(true).open(path).map_err(folder)?;
    for _ in 0..LOCK_POLLS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
    }
    Err(ShopError::FillTakesTooLong { path: path.to_path_buf() })
}

async fn fill(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let rows = rows();
    let mut all = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *all).await?;
    for chunk in rows.chunks(100) {
        put(&mut all, chunk).await?;
    }
    // The version is what others look at, so it is written last and with everything else.
    sqlx::raw_sql("PRAGMA user_version = 1; ANALYZE;").execute(&mut *all).await?;
    all.commit().await
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(PRODUCTS as usize * 3);
    for id in 1..=PRODUCTS {
        for (market, offer) in offers(&product(id)).into_iter().enumerate() {
            if let Some(offer) = offer {
                rows.push(Row { market, product: product(id), offer, position: 0, sale: None, fresh: None });
            }
        }
    }
    rows.sort_by_key(|row| (row.market, row.product.category, row.offer.order, row.product.id));
    number(&mut rows, |row| Some((row.market, row.product.category)), |row, at| row.position = at);
    // Sales and arrivals are mixed across categories.
    rows.sort_by_key(|row| (row.market, row.offer.order, row.product.id));
    number(&mut rows, |row| row.offer.was.map(|_| (row.market, 0)), |row, at| row.sale = Some(at));
    rows.sort_by_key(|row| (row.market, row.offer.fresh, row.product.id));
    number(&mut rows, |row| row.offer.fresh.map(|_| (row.market, 0)), |row, at| row.fresh = Some(at));
    rows.sort_by_key(|row| (row.market, row.product.id));
    rows
}

/// Counts rows from 0 within each group; rows without a group are passed over.
fn number(rows: &mut [Row], group: impl Fn(&Row) -> Option<(usize, usize)>, set: impl Fn(&mut Row, i64)) {
    let (mut current, mut at) = (None, 0);
    for row in rows {
        let Some(own) = group(row) else { continue };
        if current != Some(own) {
            (current, at) = (Some(own), 0);
        }
        set(row, at);
        at += 1;
    }
}

async fn put(connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO offer (market, product, category, position, slug, name, colours, sold_out, price, was, sale, \
         fresh, care, details) ",
    );
    query.push_values(rows, |mut values, row| {
        let colours: Vec<String> = row.product.colours.iter().map(ToString::to_string).collect();
        values
            .push_bind(row.market as i64)
            .push_bind(i64::from(row.product.id))
            .push_bind(row.product.category as i64)
            .push_bind(row.position)
            .push_bind(&row.offer.slug)
            .push_bind(&row.offer.name)
            .push_bind(colours.join(","))
            .push_bind(i64::from(row.product.sold_out))
            .push_bind(row.offer.price)
            .push_bind(row.offer.was)
            .push_bind(row.sale)
            .push_bind(row.fresh)
            .push_bind(row.offer.care)
            .push_bind(&row.offer.details);
    });
    query.build().execute(&mut *connection).await?;

    let slugs = rows.iter().flat_map(|row| {
        row.offer
            .old_slugs
            .iter()
            .chain([&row.offer.slug])
            .map(move |slug| (row.market, slug, row.product.id))
    });
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO slug (market, slug, product) ");
    query.push_values(slugs, |mut values, (market, slug, product)| {
        values.push_bind(market as i64).push_bind(slug).push_bind(i64::from(product));
    });
    query.build().execute(&mut *connection).await?;

    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO words (rowid, name, more) ");
    query.push_values(rows, |mut values, row| {
        values
            .push_bind(super::catalogue::word_row(row.market, row.product.id))
            .push_bind(&row.offer.name)
            .push_bind(&row.offer.keywords);
    });
    query.build().execute(&mut *connection).await?;
    Ok(())
}
