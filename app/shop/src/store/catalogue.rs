//! What the pages read of the catalogue: a few indexed look-ups each.

use std::ops::Range;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqlitePool};

use super::Store;
use crate::catalogue::CATEGORIES;

/// How many products a page of a category or of search results shows.
pub const PAGE: i64 = 24;

/// Rows of the word index of one market lie together.
const WORD_ROWS: i64 = 1_000_000;
/// How many results a search counts at most.
const FOUND_MAX: i64 = 240;

/// What one category has in one market.
#[derive(Debug, Clone, Copy)]
pub struct Shelf {
    /// 0 to 16.
    pub category: usize,
    /// How many products.
    pub products: i64,
    /// The product that is shown first.
    pub first: u32,
}

/// A product as a list shows it.
#[derive(Debug, Clone)]
pub struct OfferRow {
    /// Its number.
    pub product: u32,
    /// 0 to 16.
    pub category: usize,
    /// Its place in its category, from 0.
    pub position: i64,
    /// Its address.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its colours, as indices into the list of colours.
    pub colours: Vec<usize>,
    /// One bit for each size that is sold out.
    pub sold_out: u8,
    /// Its price in hundredths.
    pub price: i64,
    /// Its price before the sale, in hundredths.
    pub was: Option<i64>,
    /// Whether it has just arrived.
    pub fresh: bool,
}

impl FromRow<'_, SqliteRow> for OfferRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let colours: &str = row.try_get(5)?;
        Ok(Self {
            product: row.try_get(0)?,
            category: row.try_get::<i64, _>(1)? as usize % CATEGORIES,
            position: row.try_get(2)?,
            slug: row.try_get(3)?,
            name: row.try_get(4)?,
            colours: colours.split(',').filter_map(|colour| colour.parse().ok()).collect(),
            sold_out: row.try_get::<i64, _>(6)? as u8,
            price: row.try_get(7)?,
            was: row.try_get(8)?,
            fresh: row.try_get::<Option<i64>, _>(9)?.is_some(),
        })
    }
}

/// A product as its own page shows it.
#[derive(Debug)]
pub struct ProductPage {
    /// The offer; its slug is the latest one.
    pub offer: OfferRow,
    /// How to care for it.
    pub care: String,
    /// A few sentences.
    pub details: String,
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// One page of it.
    pub offers: Vec<OfferRow>,
    /// How many there are, counted up to 240.
    pub total: i64,
}

/// Where the word index keeps a product of a market.
pub(super) fn word_row(market: usize, product: u32) -> i64 {
    market as i64 * WORD_ROWS + i64::from(product)
}

macro_rules! offers {
    ($rest:literal) => {
        concat!(
            "SELECT o.product, o.category, o.position, o.slug, o.name, o.colours, o.sold_out, o.price, o.was, o.fresh",
            $rest
        )
    };
}

/// What is on each market's shelves; read once, for the catalogue does not change while an instance runs.
pub(super) async fn shelves(reads: &SqlitePool) -> Result<[Vec<Shelf>; 3], sqlx::Error> {
    let mut shelves = [const { Vec::new() }; 3];
    let rows = sqlx::query(
        "SELECT market, category, count(*), min(CASE position WHEN 0 THEN product END) FROM offer \
         GROUP BY market, category ORDER BY market, category",
    )
    .fetch_all(reads)
    .await?;
    for row in rows {
        let market: i64 = row.try_get(0)?;
        let category = row.try_get::<i64, _>(1)? as usize % CATEGORIES;
        shelves[market as usize % 3].push(Shelf {
            category,
            products: row.try_get(2)?,
            first: row.try_get(3)?,
        });
    }
    Ok(shelves)
}

impl Store {
    /// What is on the shelves of `market`, in the order of the navigation.
    #[must_use]
    pub fn shelves(&self, market: usize) -> &[Shelf] {
        &self.shelves[market]
    }

    /// Products of a category whose places lie in `places`.
    pub async fn on_shelf(
        &self,
        market: usize,
        category: usize,
        places: Range<i64>,
    ) -> Result<Vec<OfferRow>, sqlx::Error> {
        let sql = offers!(
            " FROM offer o WHERE o.market = ? AND o.category = ? AND o.position >= ? AND o.position < ? \
             ORDER BY o.position"
        );
        sqlx::query_as(sql)
            .bind(market as i64)
            .bind(category as i64)
            .bind(places.start)
            .bind(places.end)
            .fetch_all(&self.reads)
            .await
    }

    /// Reduced products whose places among them lie in `places`.
    pub async fn on_sale(&self, market: usize, places: Range<i64>) -> Result<Vec<OfferRow>, sqlx::Error> {
        let sql = offers!(" FROM offer o WHERE o.market = ? AND o.sale >= ? AND o.sale < ? ORDER BY o.sale");
        sqlx::query_as(sql)
            .bind(market as i64)
            .bind(places.start)
            .bind(places.end)
            .fetch_all(&self.reads)
            .await
    }

    /// How many products are reduced.
    pub async fn sale_size(&self, market: usize) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT count(*) FROM offer WHERE market = ? AND sale IS NOT NULL")
            .bind(market as i64)
            .fetch_one(&self.reads)
            .await
    }

    /// The newest products.
    pub async fn fresh(&self, market: usize, many: i64) -> Result<Vec<OfferRow>, sqlx::Error> {
        let sql =
            offers!(" FROM offer o WHERE o.market = ? AND o.fresh >= 0 AND o.fresh < ? ORDER BY o.fresh");
        sqlx::query_as(sql).bind(market as i64).bind(many).fetch_all(&self.reads).await
    }

    /// The product that has, or once had, this address.
    pub async fn by_slug(&self, market: usize, slug: &str) -> Result<Option<ProductPage>, sqlx::Error> {
        let sql = offers!(
            ", o.care, o.details FROM slug s JOIN offer o ON o.market = s.market AND o.product = s.product \
             WHERE s.market = ? AND s.slug = ?"
        );
        let row = sqlx::query(sql).bind(market as i64).bind(slug).fetch_optional(&self.reads).await?;
        row.map(|row| {
            Ok(ProductPage {
                offer: OfferRow::from_row(&row)?,
                care: row.try_get(10)?,
                details: row.try_get(11)?,
            })
        })
        .transpose()
    }

    /// One offer by its product's number.
    pub async fn offer(&self, market: usize, product: u32) -> Result<Option<OfferRow>, sqlx::Error> {
        let sql = offers!(" FROM offer o WHERE o.market = ? AND o.product = ?");
        sqlx::query_as(sql).bind(market as i64).bind(product).fetch_optional(&self.reads).await
    }

    /// A product's address in each market that sells it.
    pub async fn slugs_of(&self, product: u32) -> Result<[Option<String>; 3], sqlx::Error> {
        let mut slugs = [None, None, None];
        let rows = sqlx::query("SELECT market, slug FROM offer WHERE market IN (0, 1, 2) AND product = ?")
            .bind(product)
            .fetch_all(&self.reads)
            .await?;
        for row in rows {
            slugs[row.try_get::<i64, _>(0)? as usize % 3] = Some(row.try_get(1)?);
        }
        Ok(slugs)
    }

    /// Every product's address in a market.
    pub async fn all_slugs(&self, market: usize) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT slug FROM offer WHERE market = ? ORDER BY product")
            .bind(market as i64)
            .fetch_all(&self.reads)
            .await
    }

    /// Page `page` (from 1) of what matches all of `terms`, best first. Each term may be the beginning of a word.
    pub async fn search(&self, market: usize, terms: &[String], page: i64) -> Result<Found, sqlx::Error> {
        if terms.is_empty() {
            return Ok(Found { offers: Vec::new(), total: 0 });
        }
        // Terms are letters and digits only; the quotes make them words, never operators.
        let query: Vec<String> = terms.iter().map(|term| format!("\"{term}\"*")).collect();
        let query = query.join(" ");
        let first = word_row(market, 0);
        let total: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? AND rowid > ? AND rowid < ? LIMIT ?)",
        )
        .bind(&query)
        .bind(first)
        .bind(first + WORD_ROWS)
        .bind(FOUND_MAX)
        .fetch_one(&self.reads)
        .await?;
        if total == 0 {
            return Ok(Found { offers: Vec::new(), total });
        }
        let sql = offers!(
            " FROM (SELECT rowid AS place, rank AS weight FROM words WHERE words MATCH ? AND rowid > ? AND rowid < ? \
             ORDER BY rank, rowid LIMIT ? OFFSET ?) f JOIN offer o ON o.market = ? AND o.product = f.place - ? \
             ORDER BY f.weight, f.place"
        );
        let offers = sqlx::query_as(sql)
            .bind(&query)
            .bind(first)
            .bind(first + WORD_ROWS)
            .bind(PAGE)
            .bind((page - 1) * PAGE)
            .bind(market as i64)
            .bind(first)
            .fetch_all(&self.reads)
            .await?;
        Ok(Found { offers, total })
    }
}
