//! Trousers, jeans, skirts, swimwear.

use super::sketch::Sketch;
use super::sketch::To::{C, L};
use super::sketch::Tone;

/// Where the legs end: outer x, inner x, and y of the hem.
fn legs(cut: u8) -> (i32, i32, i32) {
    match cut {
        0 => (226, 158, 356),
        1 => (192, 166, 352),
        2 => (218, 158, 300),
        _ => (204, 160, 356),
    }
}

fn two_legs(sketch: &mut Sketch<'_>, cut: u8) -> (i32, i32, i32) {
    let (outer, inner, hem) = legs(cut);
    sketch.whole(
        (150, 84),
        &[
            L(188, 82),
            C(196, 112, 203, 140, 204, 170),
            C(206, 220, outer, 280, outer, hem),
            L(inner, hem + 3),
            C(158, 290, 156, 230, 150, 178),
        ],
        Tone::Cloth,
    );
    (outer, inner, hem)
}

/// Trousers.
pub fn trousers(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let (outer, inner, hem) = two_legs(sketch, cut);
    sketch.piece("M112 70H188L190 90H110z", Tone::Trim);
    sketch.seam("M150 90V172C150 164 142 160 141 150V92", 1, 26);
    let crease = (outer + inner) / 2;
    sketch.seams(&format!("M170 108C176 170 {} 260 {crease} {hem}", crease - 2), 2, 16);
    sketch.seams("M192 94C190 108 186 118 178 124", 1, 34);
    if sketch.look.whim(0, 2) == 0 {
        sketch.pair("M166 92L172 92L170 118L165 110z", Tone::Behind);
    }
    sketch.seams(&format!("M{inner} {}L{outer} {}", hem - 8, hem - 11), 1, 20);
    sketch.buttons(146, &[80], 3);
    sketch.seams("M152 184C160 192 170 196 178 196", 2, 12);
}

/// Jeans: yellow stitches, rivets, pockets.
pub fn jeans(sketch: &mut Sketch<'_>) {
    const STITCH: [u8; 3] = [0xc9, 0x97, 0x55];
    let cut = sketch.look.cut;
    let (outer, inner, hem) = two_legs(sketch, cut);
    sketch.piece("M111 68H189L191 88H109z", Tone::Trim);
    sketch.cord("M111 85H189M112 71H188", STITCH, 1, "3 2");
    sketch.cord("M154 88V152C154 160 150 164 145 166", STITCH, 1, "3 2");
    sketch.seam("M150 88V178", 1, 40);
    let from = "M196 96C192 112 180 118 168 117V88";
    sketch.seams(from, 1, 40);
    sketch.cord("M193 98C189 109 180 114 171 114V90M107 98C111 109 120 114 129 114V90", STITCH, 1, "3 2");
    let edge = format!(
        "M200 150C202 220 {} 290 {} {hem}M100 150C98 220 {} 290 {} {hem}",
        outer - 5,
        outer - 5,
        305 - outer,
        305 - outer
    );
    sketch.cord(&edge, STITCH, 1, "4 3");
    let turn = if cut == 2 { 16 } else { 6 };
    if cut == 2 {
        sketch.pair(
            &format!(
                "M{} {}L{} {}L{} {}L{inner} {}z",
                inner,
                hem - turn,
                outer + 1,
                hem - turn - 3,
                outer + 2,
                hem,
                hem + 4
            ),
            Tone::Pale,
        );
    } else {
        sketch.seams(&format!("M{inner} {}L{outer} {}", hem - 6, hem - 9), 1, 30);
    }
    // Where denim fades first.
    let worn = sketch.look.ground;
    let soft = format!(
        "M180 176C188 200 190 226 {} 262M120 176C112 200 110 226 {} 262",
        (outer + inner) / 2,
        300 - (outer + inner) / 2
    );
    sketch.cord(&soft, super::sketch::faded(sketch.cloth(), worn), 12, "");
    sketch.buttons(150, &[78], 4);
    sketch.seams("M152 184C160 192 172 196 182 196", 2, 16);
}

/// Skirts.
pub fn skirt(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let (flare, hem) = match cut {
        0 => (236, 300),
        1 => (242, 326),
        2 => (198, 320),
        _ => (222, 232),
    };
    sketch.whole(
        (150, 104),
        &[
            L(186, 102),
            C(198, 130, if cut == 2 { 208 } else { 206 }, 160, if cut == 2 { 206 } else { 212 }, 190),
            C(flare - 4, hem - 60, flare, hem - 20, flare, hem),
            C(200, hem + 10, 172, hem + 12, 150, hem + 12),
        ],
        Tone::Cloth,
    );
    sketch.piece("M113 88H187L189 108C164 112 136 112 111 108z", Tone::Trim);
    match cut {
        1 => {
            for step in 0..5 {
                let (top, low) = (154 + step * 8, 158 + step * 18);
                sketch.seams(
                    &format!(
                        "M{top} 112C{} 190 {low} {} {low} {}",
                        top + 4 + step * 3,
                        hem - 60,
                        hem + 9 - step
                    ),
                    2,
                    20,
                );
            }
        }
        2 => {
            sketch.seam(&format!("M150 112V{}", hem + 8), 1, 18);
            sketch.seams(&format!("M150 {}L158 {}", hem - 40, hem + 10), 2, 30);
        }
        3 => {
            sketch.seam("M150 112V242", 1, 24);
            sketch.pair("M166 150H198V184H166z", Tone::Behind);
            sketch.buttons(150, &[124, 150, 176, 202, 226], 3);
        }
        _ => {
            sketch.seams(
                &format!(
                    "M166 116C172 180 184 {} 190 {}M182 116C190 170 208 {} 216 {}",
                    hem - 60,
                    hem,
                    hem - 60,
                    hem - 2
                ),
                2,
                15,
            );
            if sketch.look.whim(1, 2) == 0 {
                sketch.seam(&format!("M150 112V{hem}"), 1, 24);
                sketch.buttons(150, &[130, 160, 190, 220, 250, 280], 3);
            }
        }
    }
    sketch.seam(
        &format!("M{} {}C200 {} 100 {} {} {}", flare - 1, hem - 10, hem + 1, hem + 1, 301 - flare, hem - 10),
        1,
        18,
    );
}

/// Swimwear.
pub fn swim(sketch: &mut Sketch<'_>) {
    let rgb = sketch.trim();
    match sketch.look.cut {
        1 => {
            sketch.cord("M172 128C172 104 160 84 150 74C140 84 128 104 128 128", rgb, 4, "");
            sketch.cord("M112 172C130 178 170 178 188 172", rgb, 4, "");
            sketch.pair(
                "M152 170C152 150 164 130 173 124C182 138 190 154 194 170C180 178 166 178 152 170z",
                Tone::Cloth,
            );
            sketch.seams("M158 168C166 160 172 148 174 136", 2, 14);
            sketch.whole(
                (150, 250),
                &[
                    C(166, 250, 184, 248, 200, 242),
                    L(204, 256),
                    C(186, 266, 168, 284, 162, 304),
                    C(158, 308, 154, 308, 150, 308),
                ],
                Tone::Cloth,
            );
            sketch.seam("M98 254C130 262 170 262 202 254", 1, 20);
            sketch.cord("M202 248C212 256 210 268 216 276M202 248C214 250 216 258 224 262M98 248C88 256 90 268 84 276M98 248C86 250 84 258 76 262", rgb, 3, "");
        }
        cut => {
            let square = cut == 2;
            sketch.piece("M124 96H176V150H124z", Tone::Inside);
            sketch.piece("M118 100C126 120 174 120 182 100L170 168H130z", Tone::Inside);
            let neck = if square { 146 } else { 160 };
            sketch.whole(
                (150, neck),
                &[
                    if square { L(174, 144) } else { C(166, 158, 174, 130, 175, 88) },
                    if square { L(175, 88) } else { L(187, 88) },
                    if square { L(188, 88) } else { C(187, 104, 188, 120, 192, 136) },
                    C(192, 126, 196, 142, 200, 156),
                    C(196, 186, 182, 200, 182, 218),
                    C(184, 240, 200, 252, 204, 272),
                    C(186, 280, 170, 302, 164, 326),
                    C(158, 330, 154, 330, 150, 330),
                ],
                Tone::Cloth,
            );
            sketch.seams("M203 274C188 284 174 302 167 322", 1, 24);
            sketch.seam("M118 218C136 224 164 224 182 218", 1, 16);
            if sketch.look.whim(2, 2) == 0 {
                sketch.piece("M118 212C136 218 164 218 182 212L182 224C164 230 136 230 118 224z", Tone::Trim);
            }
            sketch.seams("M178 172C172 182 164 186 154 186M176 240C172 262 168 280 160 300", 2, 10);
        }
    }
}
