//! The colours of the season, with their names.

use super::Texts;

/// A colour.
#[derive(Debug)]
pub struct Colour {
    /// Red, green and blue.
    pub rgb: [u8; 3],
    /// Its name in each language.
    pub name: Texts,
}

const fn colour(rgb: [u8; 3], name: Texts) -> Colour {
    Colour { rgb, name }
}

/// All colours; a product names them by their index.
pub static COLOURS: [Colour; 22] = [
    colour([0x2b, 0x2a, 0x2c], ["Black", "Schwarz", "Noir"]),
    colour([0xf2, 0xec, 0xe0], ["Ivory", "Elfenbein", "Ivoire"]),
    colour([0xb9, 0x8b, 0x5e], ["Camel", "Camel", "Camel"]),
    colour([0x26, 0x35, 0x52], ["Navy", "Marine", "Marine"]),
    colour([0x2f, 0x4f, 0x3f], ["Forest", "Waldgrün", "Sapin"]),
    colour([0x9c, 0xab, 0x8f], ["Sage", "Salbei", "Sauge"]),
    colour([0xb1, 0x55, 0x37], ["Rust", "Rost", "Rouille"]),
    colour([0x6d, 0x23, 0x31], ["Burgundy", "Burgund", "Bordeaux"]),
    colour([0xd9, 0xa5, 0xa0], ["Rose", "Rosé", "Rose"]),
    colour([0xec, 0xd3, 0xcb], ["Blush", "Puder", "Poudre"]),
    colour([0xb3, 0xa3, 0xc4], ["Lilac", "Flieder", "Lilas"]),
    colour([0xa9, 0xc2, 0xd6], ["Sky", "Himmelblau", "Ciel"]),
    colour([0x4a, 0x66, 0x8a], ["Denim", "Denim", "Denim"]),
    colour([0xd0, 0x9a, 0x35], ["Mustard", "Senf", "Moutarde"]),
    colour([0xd8, 0xc7, 0xab], ["Sand", "Sand", "Sable"]),
    colour([0x58, 0x58, 0x5c], ["Charcoal", "Anthrazit", "Anthracite"]),
    colour([0xb8, 0xb7, 0xb3], ["Grey", "Grau", "Gris"]),
    colour([0x58, 0x3d, 0x2f], ["Chocolate", "Schokolade", "Chocolat"]),
    colour([0x74, 0x74, 0x4c], ["Olive", "Oliv", "Olive"]),
    colour([0x2a, 0x6b, 0x70], ["Teal", "Petrol", "Canard"]),
    colour([0x2f, 0x4f, 0xa5], ["Cobalt", "Kobalt", "Cobalt"]),
    colour([0xb4, 0x2b, 0x38], ["Cherry", "Kirsche", "Cerise"]),
];
