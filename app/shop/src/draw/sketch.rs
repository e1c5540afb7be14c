//! The pen: pieces of cloth with their pattern and shade, seams, buttons; most of it mirrored about the middle.

use std::fmt::Write as _;

use super::{Look, Pattern};

/// The width of a picture; its height is 400.
pub const WIDTH: i32 = 300;

/// One stroke of an outline.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// A straight line to a point.
    L(i32, i32),
    /// A cubic curve: two controls, then its end.
    C(i32, i32, i32, i32, i32, i32),
}

/// How a piece is lit, relative to the cloth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The cloth as it is, with its pattern.
    Cloth,
    /// Cloth that lies behind: darker.
    Behind,
    /// Trimmings: darker, without pattern.
    Trim,
    /// The inside of a garment: much darker.
    Inside,
    /// Light trimmings: soles, linings.
    Pale,
}

/// A picture that is being drawn.
pub struct Sketch<'a> {
    /// What is drawn.
    pub look: &'a Look,
    out: String,
    pieces: u32,
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// `rgb` with `percent` of `other` in it.
fn blend(rgb: [u8; 3], other: [u8; 3], percent: u32) -> [u8; 3] {
    let mut out = [0; 3];
    for at in 0..3 {
        out[at] = ((u32::from(rgb[at]) * (100 - percent) + u32::from(other[at]) * percent) / 100) as u8;
    }
    out
}

const INK: [u8; 3] = [0x14, 0x10, 0x14];
const CHALK: [u8; 3] = [0xff, 0xfc, 0xf6];

fn light(rgb: [u8; 3]) -> u32 {
    (u32::from(rgb[0]) * 3 + u32::from(rgb[1]) * 6 + u32::from(rgb[2])) / 10
}

impl<'a> Sketch<'a> {
    /// An empty sheet.
    pub fn new(look: &'a Look) -> Self {
        Self { look, out: String::with_capacity(3000), pieces: 0 }
    }

    fn tone(&self, tone: Tone) -> [u8; 3] {
        match tone {
            Tone::Cloth => self.look.rgb,
            Tone::Behind => blend(self.look.rgb, INK, 4),
            Tone::Trim => blend(self.look.rgb, INK, 16),
            Tone::Inside => blend(self.look.rgb, INK, 45),
            Tone::Pale => blend(self.look.rgb, CHALK, 82),
        }
    }

    /// A piece with this outline.
    pub fn piece(&mut self, outline: &str, tone: Tone) {
        let id = self.pieces;
        self.pieces += 1;
        let fill = hex(self.tone(tone));
        let patterned = matches!(tone, Tone::Cloth | Tone::Behind) && self.look.pattern != Pattern::Plain;
        if tone == Tone::Inside {
            let _ = write!(self.out, "<path d=\"{outline}\" fill=\"{fill}\"/>");
            return;
        }
        let piece = format!("<use href=\"#p{id}\" fill=\"");
        let _ = write!(self.out, "<defs><path id=\"p{id}\" d=\"{outline}\"/></defs>{piece}{fill}\"/>");
        if patterned {
            let _ = write!(self.out, "{piece}url(#w)\"/>");
        }
        let _ = write!(self.out, "{piece}url(#s)\"/>");
    }

    /// A piece drawn on the right, and once more on the left.
    pub fn pair(&mut self, outline: &str, tone: Tone) {
        let from = self.out.len();
        self.piece(outline, tone);
        self.again(from);
    }

    /// Repeats what was drawn since `from`, mirrored.
    fn again(&mut self, from: usize) {
        let id = self.pieces;
        self.pieces += 1;
        let drawn = self.out.split_off(from);
        let _ = write!(
            self.out,
            "<g id=\"g{id}\">{drawn}</g><use href=\"#g{id}\" transform=\"matrix(-1 0 0 1 {WIDTH} 0)\"/>"
        );
    }

    /// A piece from the middle of its top to the middle of its bottom along the right side; the left side mirrors it.
    pub fn whole(&mut self, start: (i32, i32), right: &[To], tone: Tone) {
        self.piece(&mirrored(start, right), tone);
    }

    /// A soft dark line: a fold or a seam. `strength` is its opacity in percent.
    pub fn seam(&mut self, path: &str, width: i32, strength: i32) {
        let ink = if light(self.look.rgb) < 70 { hex(CHALK) } else { hex(INK) };
        let strength = if light(self.look.rgb) < 70 { strength * 3 / 4 } else { strength };
        let _ = write!(
            self.out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{ink}\" stroke-opacity=\".{strength:02}\" \
             stroke-width=\"{width}\" stroke-linecap=\"round\"/>"
        );
    }

    /// A seam on both sides.
    pub fn seams(&mut self, path: &str, width: i32, strength: i32) {
        let from = self.out.len();
        self.seam(path, width, strength);
        self.again(from);
    }

    /// A line in a colour of its own: straps, cords, stitches. `dash` may be empty.
    pub fn cord(&mut self, path: &str, rgb: [u8; 3], width: i32, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = write!(
            self.out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linecap=\"round\"{dash}/>",
            hex(rgb)
        );
    }

    /// The colour of trimmings.
    pub fn trim(&self) -> [u8; 3] {
        self.tone(Tone::Trim)
    }

    /// The cloth's own colour.
    pub fn cloth(&self) -> [u8; 3] {
        self.look.rgb
    }

    /// Buttons in a column.
    pub fn buttons(&mut self, x: i32, ys: &[i32], radius: i32) {
        let rgb = self.look.rgb;
        let fill = if light(rgb) < 90 { blend(rgb, CHALK, 45) } else { blend(rgb, INK, 50) };
        for y in ys {
            let _ = write!(self.out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{}\"/>", hex(fill));
        }
    }

    fn weave(&self) -> String {
        let rgb = self.look.rgb;
        let dark = light(rgb) < 120;
        let on = hex(if dark { blend(rgb, CHALK, 78) } else { blend(rgb, INK, 55) });
        let warm = hex(if dark { [0xe3, 0xb7, 0x9a] } else { [0xa6, 0x4b, 0x3f] });
        let (width, height, marks) = match self.look.pattern {
            Pattern::Plain => return String::new(),
            Pattern::Stripes => (
                300,
                18,
                format!("<path d=\"M0 4h300\" stroke=\"{on}\" stroke-width=\"5\" stroke-opacity=\".7\"/>"),
            ),
            Pattern::Pinstripes => {
                (9, 400, format!("<path d=\"M3 0v400\" stroke=\"{on}\" stroke-opacity=\".45\"/>"))
            }
            Pattern::Dots => (
                16,
                16,
                format!(
                    "<g fill=\"{on}\" fill-opacity=\".7\"><circle cx=\"4\" cy=\"4\" r=\"2\"/><circle cx=\"12\" cy=\"12\" r=\"2\"/></g>"
                ),
            ),
            Pattern::Checks => (
                30,
                30,
                format!(
                    "<g stroke=\"{on}\" stroke-opacity=\".28\"><path d=\"M0 8h30M8 0v30\" stroke-width=\"9\"/>\
                 <path d=\"M0 22h30M22 0v30\" stroke=\"{warm}\" stroke-opacity=\".5\"/></g>"
                ),
            ),
            Pattern::Flowers => (
                34,
                34,
                format!(
                    "<g fill=\"{on}\" opacity=\".8\"><circle cx=\"9\" cy=\"6\" r=\"2.2\"/><circle cx=\"12\" cy=\"8\" r=\"2.2\"/>\
                     <circle cx=\"11\" cy=\"12\" r=\"2.2\"/><circle cx=\"7\" cy=\"12\" r=\"2.2\"/><circle cx=\"6\" cy=\"8\" r=\"2.2\"/>\
                     <circle cx=\"26\" cy=\"26\" r=\"1.6\"/><circle cx=\"25\" cy=\"6\" r=\"1\"/></g>\
                     <circle cx=\"9\" cy=\"9.4\" r=\"1.8\" fill=\"{warm}\"/>\
                     <path d=\"M20 29q4-7 7-4\" fill=\"none\" stroke=\"{on}\" stroke-opacity=\".6\"/>"
                ),
            ),
            Pattern::Rib => (
                5,
                400,
                "<path d=\"M1 0v400\" stroke=\"#140f14\" stroke-opacity=\".13\" stroke-width=\"2\"/>"
                    .to_owned(),
            ),
            Pattern::Herringbone => (
                16,
                8,
                format!(
                    "<path d=\"M0 8L8 0L16 8\" fill=\"none\" stroke=\"{on}\" stroke-opacity=\".28\" stroke-width=\"2\"/>"
                ),
            ),
        };
        format!(
            "<pattern id=\"w\" width=\"{width}\" height=\"{height}\" patternUnits=\"userSpaceOnUse\">{marks}</pattern>"
        )
    }

    /// The finished picture; `view` 0 is the whole of it.
    pub fn finish(self, view: usize) -> String {
        let ground = self.look.ground;
        let (low, high) = (hex(blend(ground, INK, 7)), hex(blend(ground, CHALK, 55)));
        let frame = ["0 0 300 400", "84 92 132 176", "112 200 120 160"][view % super::VIEWS];
        let lit = if light(self.look.rgb) < 90 { 16 } else { 24 };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{frame}\" width=\"600\" height=\"800\"><defs>\
             <linearGradient id=\"b\" x2=\"0\" y2=\"1\"><stop stop-color=\"{high}\"/>\
             <stop offset=\"1\" stop-color=\"{}\"/></linearGradient>\
             <linearGradient id=\"s\" gradientUnits=\"userSpaceOnUse\" x1=\"60\" x2=\"240\" y1=\"0\" y2=\"40\">\
             <stop stop-color=\"#0a0508\" stop-opacity=\".13\"/>\
             <stop offset=\".34\" stop-color=\"#fff\" stop-opacity=\".{lit}\"/>\
             <stop offset=\".6\" stop-color=\"#fff\" stop-opacity=\"0\"/>\
             <stop offset=\"1\" stop-color=\"#0a0508\" stop-opacity=\".12\"/></linearGradient>{}\
             <radialGradient id=\"f\"><stop stop-color=\"#2a211c\" stop-opacity=\".3\"/>\
             <stop offset=\"1\" stop-color=\"#2a211c\" stop-opacity=\"0\"/></radialGradient></defs>\
             <path d=\"M0 0h300v400H0z\" fill=\"url(#b)\"/>\
             <path d=\"M0 345h300v55H0z\" fill=\"{low}\" fill-opacity=\".5\"/>\
             <ellipse cx=\"150\" cy=\"366\" rx=\"104\" ry=\"13\" fill=\"url(#f)\"/>{}</svg>",
            hex(ground),
            self.weave(),
            self.out
        )
    }
}

/// The closed outline whose right side is given; the left side is its mirror image.
fn mirrored(start: (i32, i32), right: &[To]) -> String {
    let mut out = format!("M{} {}", start.0, start.1);
    for stroke in right {
        let _ = match *stroke {
            To::L(x, y) => write!(out, "L{x} {y}"),
            To::C(a, b, c, d, x, y) => write!(out, "C{a} {b} {c} {d} {x} {y}"),
        };
    }
    let end = |at: usize| match right[at] {
        To::L(x, y) | To::C(_, _, _, _, x, y) => (x, y),
    };
    for at in (0..right.len()).rev() {
        let (x, y) = if at == 0 { start } else { end(at - 1) };
        let _ = match right[at] {
            To::L(..) => write!(out, "L{} {y}", WIDTH - x),
            To::C(a, b, c, d, ..) => {
                write!(out, "C{} {d} {} {b} {} {y}", WIDTH - c, WIDTH - a, WIDTH - x)
            }
        };
    }
    out.push('z');
    out
}

/// Cloth where it has faded: a little of `ground` in it.
pub fn faded(cloth: [u8; 3], ground: [u8; 3]) -> [u8; 3] {
    blend(cloth, ground, 10)
}
