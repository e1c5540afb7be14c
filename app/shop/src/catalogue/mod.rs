//! What the shop sells: pure data and pure functions of a product's number, so that every instance and every run
//! makes the same goods. Knows no database and no page.

pub mod colours;
pub mod materials;
pub mod names;
pub mod ranges;

mod make;

pub use make::{Offer, fold, offers, product};

use crate::draw::Look;
use crate::market::Market;

/// How many categories there are (S3: 17 categories).
pub const CATEGORIES: usize = 17;
/// Products in each category; 17 × 80 = 1,360 in all (S3: 1,250 and more).
pub const PER_CATEGORY: u32 = 80;
/// How many products there are. Their numbers are 1 to this.
pub const PRODUCTS: u32 = CATEGORIES as u32 * PER_CATEGORY;

/// One text for each language, in the order of [`Language`](crate::market::Language).
pub type Texts = [&'static str; 3];

/// A category of goods and what its products are made of.
#[derive(Debug)]
pub struct Category {
    /// Its address in each language.
    pub slug: Texts,
    /// Its name in each language.
    pub name: Texts,
    /// One sentence about it in each language.
    pub intro: Texts,
    /// The cuts it offers.
    pub garments: &'static [Garment],
    /// Indices into [`materials::MATERIALS`].
    pub materials: &'static [usize],
    /// Indices into [`colours::COLOURS`]; empty for all.
    pub colours: &'static [usize],
    /// The lowest and the highest price, in whole units before a market sets its own price points.
    pub price: (i64, i64),
    /// Which sizes it comes in.
    pub sizes: Sizes,
}

/// One cut: its name, and the number by which its picture is drawn.
#[derive(Debug)]
pub struct Garment {
    /// Its name in each language; German as the second half of a hyphenated compound.
    pub name: Texts,
    /// Which silhouette of its category.
    pub cut: u8,
}

/// Kinds of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// XS to XL.
    Letters,
    /// Waist in inches.
    Waist,
    /// Shoes: British or continental numbers, as the market counts.
    Shoes,
    /// One size for all.
    One,
}

impl Sizes {
    /// The sizes' names in `market`, smallest first.
    #[must_use]
    pub fn labels(self, market: &Market) -> &'static [&'static str] {
        match self {
            Self::Letters => &["XS", "S", "M", "L", "XL"],
            Self::Waist => &["26", "27", "28", "29", "30", "31", "32"],
            Self::Shoes if market.index == 0 => &["3", "4", "5", "6", "7", "8"],
            Self::Shoes => &["36", "37", "38", "39", "40", "41"],
            Self::One => [&["One size"], &["Einheitsgröße"], &["Taille unique"]][market.language as usize],
        }
    }
}

/// A product as it is in every market: no words, no prices.
#[derive(Debug)]
pub struct Product {
    /// 1 to [`PRODUCTS`].
    pub id: u32,
    /// Which category, 0 to 16.
    pub category: usize,
    /// Which of its category's garments.
    pub garment: &'static Garment,
    /// Index into [`materials::MATERIALS`].
    pub material: usize,
    /// Indices into [`colours::COLOURS`], one to four.
    pub colours: Vec<usize>,
    /// One bit for each size that is sold out.
    pub sold_out: u8,
}

impl Product {
    /// What its picture in its `colour`-th colour looks like. A colour that it does not have is its first.
    #[must_use]
    pub fn look(&self, colour: usize) -> Look {
        let colour = self.colours.get(colour).or(self.colours.first()).copied().unwrap_or(0);
        Look::new(self.id, self.category, self.garment.cut, &colours::COLOURS[colour])
    }
}

/// A well-mixed number out of `product` and `salt` (the finaliser of SplitMix64, Steele et al. 2014).
#[must_use]
pub fn mixed(product: u32, salt: u32) -> u64 {
    let mut x = (u64::from(product) << 32 | u64::from(salt)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A number below `below`, out of `product` and `salt`.
#[must_use]
pub fn pick(product: u32, salt: u32, below: usize) -> usize {
    (mixed(product, salt) % below.max(1) as u64) as usize
}
