//! Materials: how they are called, how they feel, how they are cared for.

use super::Texts;

/// A material.
#[derive(Debug)]
pub struct Material {
    /// Its name; in German as the first half of a compound, in French with its preposition.
    pub name: Texts,
    /// What one searches for, where that is another word than the name.
    pub alone: Texts,
    /// A sentence about it.
    pub feel: Texts,
    /// How to care for it.
    pub care: Texts,
}

const WASH: Texts = [
    "Machine wash at 30 °C, dry flat.",
    "Bei 30 °C in der Maschine waschen, liegend trocknen.",
    "Lavage en machine à 30 °C, séchage à plat.",
];
const HAND: Texts = [
    "Hand wash cold or dry clean.",
    "Kalt von Hand waschen oder in die Reinigung geben.",
    "Lavage à la main à l’eau froide ou nettoyage à sec.",
];
const WIPE: Texts = [
    "Wipe clean with a soft cloth; keep away from heat.",
    "Mit einem weichen Tuch abwischen, von Hitze fernhalten.",
    "Nettoyer avec un chiffon doux, tenir loin de la chaleur.",
];

const fn material(name: Texts, alone: Texts, feel: Texts, care: Texts) -> Material {
    Material { name, alone, feel, care }
}

/// All materials; a category names them by their index.
pub static MATERIALS: [Material; 14] = [
    material(
        ["linen", "Leinen", "en lin"],
        ["linen", "Leinen", "lin"],
        [
            "Washed linen that is cool on warm days and softer with every wear.",
            "Gewaschenes Leinen, kühl an warmen Tagen und mit jedem Tragen weicher.",
            "Un lin lavé, frais par temps chaud et plus doux à chaque fois.",
        ],
        WASH,
    ),
    material(
        ["cotton", "Baumwoll", "en coton"],
        ["cotton", "Baumwolle", "coton"],
        [
            "Long-staple organic cotton with a calm, dense hand.",
            "Langstapelige Bio-Baumwolle mit ruhigem, dichtem Griff.",
            "Un coton biologique à fibres longues, dense et tout en douceur.",
        ],
        WASH,
    ),
    material(
        ["wool", "Woll", "en laine"],
        ["wool", "Wolle", "laine"],
        [
            "Fine merino wool that warms without weighing.",
            "Feine Merinowolle, die wärmt, ohne zu wiegen.",
            "Une fine laine mérinos qui réchauffe sans peser.",
        ],
        HAND,
    ),
    material(
        ["silk", "Seiden", "en soie"],
        ["silk", "Seide", "soie"],
        [
            "Sandwashed silk with a quiet sheen and an easy drape.",
            "Sandgewaschene Seide mit leisem Glanz und leichtem Fall.",
            "Une soie sablée au lustre discret, au tombé souple.",
        ],
        HAND,
    ),
    material(
        ["cashmere", "Kaschmir", "en cachemire"],
        ["cashmere", "Kaschmir", "cachemire"],
        [
            "Two-ply cashmere, combed by hand and knitted to last.",
            "Zweifädiges Kaschmir, von Hand gekämmt und für Jahre gestrickt.",
            "Un cachemire deux fils, peigné à la main et tricoté pour durer.",
        ],
        HAND,
    ),
    material(
        ["leather", "Leder", "en cuir"],
        ["leather", "Leder", "cuir"],
        [
            "Vegetable-tanned leather that keeps the traces of its years well.",
            "Pflanzlich gegerbtes Leder, dem seine Jahre gut stehen.",
            "Un cuir au tannage végétal qui se patine joliment.",
        ],
        WIPE,
    ),
    material(
        ["suede", "Wildleder", "en daim"],
        ["suede", "Wildleder", "daim"],
        [
            "Brushed suede, soft from the first day.",
            "Gebürstetes Wildleder, weich vom ersten Tag an.",
            "Un daim brossé, souple dès le premier jour.",
        ],
        WIPE,
    ),
    material(
        ["canvas", "Canvas", "en toile"],
        ["canvas", "Canvas", "toile"],
        [
            "Sturdy cotton canvas with reinforced seams.",
            "Robuster Baumwoll-Canvas mit verstärkten Nähten.",
            "Une toile de coton robuste aux coutures renforcées.",
        ],
        WASH,
    ),
    material(
        ["denim", "Denim", "en denim"],
        ["denim", "Denim", "denim"],
        [
            "Twelve-ounce denim, washed with ozone instead of chemicals.",
            "Zwölf-Unzen-Denim, mit Ozon statt mit Chemie gewaschen.",
            "Un denim de douze onces, lavé à l’ozone plutôt qu’à la chimie.",
        ],
        WASH,
    ),
    material(
        ["velvet", "Samt", "en velours"],
        ["velvet", "Samt", "velours"],
        [
            "Cotton velvet that catches the evening light.",
            "Baumwollsamt, der das Abendlicht fängt.",
            "Un velours de coton qui accroche la lumière du soir.",
        ],
        HAND,
    ),
    material(
        ["corduroy", "Cord", "en velours côtelé"],
        ["corduroy", "Cord", "velours"],
        [
            "Fine-wale corduroy with a little stretch.",
            "Feiner Cord mit etwas Stretch.",
            "Un velours à fines côtes, légèrement extensible.",
        ],
        WASH,
    ),
    material(
        ["viscose", "Viskose", "en viscose"],
        ["viscose", "Viskose", "viscose"],
        [
            "Certified viscose that moves with every step.",
            "Zertifizierte Viskose, die jeden Schritt mitgeht.",
            "Une viscose certifiée qui suit chaque pas.",
        ],
        WASH,
    ),
    material(
        ["straw", "Stroh", "en paille"],
        ["straw", "Stroh", "paille"],
        [
            "Natural straw, plaited by hand and light as air.",
            "Naturstroh, von Hand geflochten und federleicht.",
            "Une paille naturelle, tressée à la main et légère comme l’air.",
        ],
        WIPE,
    ),
    material(
        ["recycled", "Recycling", "en fibres recyclées"],
        ["recycled", "recycelt", "recyclé"],
        [
            "Recycled fibres that dry quickly and keep their shape.",
            "Recycelte Fasern, die schnell trocknen und in Form bleiben.",
            "Des fibres recyclées qui sèchent vite et gardent leur forme.",
        ],
        WASH,
    ),
];
