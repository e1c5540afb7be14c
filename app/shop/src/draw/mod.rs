//! Draws a product: a silhouette of its category in its colour and pattern, as a small SVG. The same product always
//! gives the same bytes. Loads nothing, stores nothing.

mod bottoms;
mod extras;
mod outer;
mod sketch;
mod tops;

use crate::catalogue::colours::Colour;
use crate::catalogue::{mixed, pick};
use sketch::Sketch;

/// Part of a picture's address: raised when pictures change, because visitors keep them for a year.
pub const VERSION: &str = "1";

/// How many views a picture has: the whole, and two close looks.
pub const VIEWS: usize = 3;

/// Everything that a picture is made of.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    category: usize,
    cut: u8,
    rgb: [u8; 3],
    pattern: Pattern,
    ground: [u8; 3],
    /// Small differences between pieces of the same cut.
    whim: u64,
}

/// What is woven or printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Plain,
    Stripes,
    Pinstripes,
    Dots,
    Checks,
    Flowers,
    Rib,
    Herringbone,
}

/// Soft grounds, near to one another, so that a page of pictures is quiet.
const GROUNDS: [[u8; 3]; 7] = [
    [0xef, 0xea, 0xe2],
    [0xe8, 0xea, 0xe4],
    [0xf1, 0xe6, 0xe0],
    [0xe6, 0xe9, 0xec],
    [0xf2, 0xec, 0xdd],
    [0xea, 0xe6, 0xec],
    [0xe9, 0xe5, 0xde],
];

impl Look {
    /// The look of product `id` of `category`, in `colour`.
    #[must_use]
    pub fn new(id: u32, category: usize, cut: u8, colour: &Colour) -> Self {
        use Pattern::{Checks, Dots, Flowers, Herringbone, Pinstripes, Plain, Rib, Stripes};
        let choice: &[Pattern] = match category {
            0 => &[Plain, Plain, Flowers, Dots, Flowers, Stripes],
            1 => &[Plain, Plain, Stripes, Stripes, Dots],
            2 => &[Plain, Pinstripes, Checks, Plain, Dots],
            3 => &[Rib, Rib, Stripes, Rib],
            4 => &[Plain],
            5 => &[Plain, Plain, Pinstripes, Herringbone],
            7 => &[Plain, Checks, Flowers, Plain, Dots],
            8 => &[Plain],
            // A trench coat is busy enough.
            9 if cut == 2 => &[Plain],
            9 | 10 => &[Plain, Herringbone, Plain, Checks, Pinstripes],
            11 => &[Plain, Stripes, Dots, Plain],
            15 => &[Checks, Stripes, Plain, Checks, Dots],
            16 => &[Plain, Plain, Rib, Herringbone],
            _ => &[Plain],
        };
        Self {
            category,
            cut,
            rgb: colour.rgb,
            pattern: choice[pick(id, 50, choice.len())],
            ground: GROUNDS[pick(id, 51, GROUNDS.len())],
            whim: mixed(id, 52),
        }
    }

    /// A number below `below` that is this piece's own; `salt` tells questions apart.
    fn whim(&self, salt: u32, below: u64) -> i32 {
        ((self.whim >> (salt % 12 * 5)) % below) as i32
    }

    /// The picture as SVG, under 4 KB. `view` 0 is the whole, any other a close look.
    #[must_use]
    pub fn svg(&self, view: usize) -> String {
        let mut sketch = Sketch::new(self);
        match self.category {
            0 => tops::dress(&mut sketch),
            1 => tops::top(&mut sketch),
            2 => tops::shirt(&mut sketch),
            3 => tops::knit(&mut sketch),
            4 => tops::sweat(&mut sketch),
            5 => bottoms::trousers(&mut sketch),
            6 => bottoms::jeans(&mut sketch),
            7 => bottoms::skirt(&mut sketch),
            8 => outer::jacket(&mut sketch),
            9 => outer::coat(&mut sketch),
            10 => outer::blazer(&mut sketch),
            11 => bottoms::swim(&mut sketch),
            12 => extras::boots(&mut sketch),
            13 => extras::trainers(&mut sketch),
            14 => extras::bag(&mut sketch),
            15 => extras::scarf(&mut sketch),
            _ => extras::hat(&mut sketch),
        }
        sketch.finish(view)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::{PRODUCTS, product};

    #[test]
    fn every_picture_is_small_and_well_formed() {
        for id in 1..=PRODUCTS {
            let product = product(id);
            for colour in 0..product.colours.len() {
                let svg = product.look(colour).svg(0);
                assert!(svg.len() < 4096, "product {id}: {} bytes", svg.len());
                assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
                assert_eq!(svg.matches("<g").count(), svg.matches("</g").count(), "product {id}: {svg}");
                assert!(!svg.contains("NaN"));
            }
        }
    }
}
