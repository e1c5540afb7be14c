//! Dresses, tops, shirts, knitwear, sweatshirts.

use super::sketch::To::{C, L};
use super::sketch::{Sketch, Tone};

/// A sleeve down to the wrist; `out` widens it.
fn long_sleeve(sketch: &mut Sketch<'_>, out: i32, cuff: bool) {
    let x = 246 + out;
    sketch.pair(
        &format!("M206 112C226 118 230 150 {} 210L{x} 288L{} 296C214 250 208 210 200 172z", x - 8, x - 24),
        Tone::Behind,
    );
    if cuff {
        sketch.pair(&format!("M{x} 286L{} 304L{} 310L{} 294z", x + 1, x - 20, x - 24), Tone::Trim);
    }
    sketch.seams(&format!("M214 176C218 200 220 220 {} 258", x - 20), 2, 14);
}

fn short_sleeve(sketch: &mut Sketch<'_>, length: i32) {
    let y = 130 + length;
    sketch.pair(
        &format!(
            "M206 112C224 118 232 134 {} {y}C232 {} 222 {} {} {}L200 160z",
            236 + length / 5,
            y + 6,
            y + 12,
            212 + length / 6,
            y + 14
        ),
        Tone::Behind,
    );
    sketch.seams(
        &format!(
            "M{} {}C226 {} 218 {} {} {}",
            235 + length / 5,
            y - 6,
            y + 1,
            y + 5,
            213 + length / 6,
            y + 7
        ),
        1,
        22,
    );
}

/// The part around the neck that shows the back's inside.
fn back_neck(sketch: &mut Sketch<'_>, width: i32) {
    let (l, r) = (150 - width, 150 + width);
    sketch.piece(&format!("M{l} 101C{} 92 {} 92 {r} 101L170 152L130 152z", l + 16, r - 16), Tone::Inside);
}

/// A bodice or body: from the neck's lowest point `neck` over shoulders and waist to `hem`.
fn body(sketch: &mut Sketch<'_>, neck: i32, waist: i32, hip: i32, hem: i32) {
    sketch.whole(
        (150, neck),
        &[
            C(164, neck, 174, 114, 178, 100),
            C(188, 104, 198, 107, 208, 112),
            C(204, 130, 202, 146, 201, 162),
            C(200, 186, waist, 196, waist, 216),
            C(waist, 240, hip, hem - 40, hip, hem),
            C(180, hem + 5, 165, hem + 6, 150, hem + 6),
        ],
        Tone::Cloth,
    );
}

/// Dresses.
pub fn dress(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let neck = 122 + sketch.look.whim(0, 3) * 10;
    let (hem, flare) = match cut {
        0 => (318, 234),
        1 => (330, 216),
        2 => (308, 226),
        3 => (356, 240),
        _ => (280, 214),
    };
    // Where the skirt's line leaves the waist and where it arrives; a short one has less way.
    let (leave, arrive) = if cut == 4 { (226, 248) } else { (240, hem - 70) };
    let flare = flare + sketch.look.whim(1, 3) * 4;
    let bare = cut == 1 || (cut == 3 && sketch.look.whim(2, 2) == 0);
    if bare {
        let rgb = sketch.trim();
        sketch.cord("M178 126C178 104 170 80 166 70M122 126C122 104 130 80 134 70", rgb, 3, "");
        sketch.whole(
            (150, 134),
            &[
                C(158, 128, 170, 122, 180, 120),
                C(186, 136, 192, 146, 196, 152),
                C(194, 174, 186, 186, 184, 204),
                C(192, leave, flare - 12, arrive, flare, hem),
                C(200, hem + 9, 172, hem + 10, 150, hem + 10),
            ],
            Tone::Cloth,
        );
    } else {
        match (cut, sketch.look.whim(3, 3)) {
            (2, _) => long_sleeve(sketch, 0, true),
            (_, 0) => long_sleeve(sketch, 4, false),
            (_, 1) => short_sleeve(sketch, 44),
            _ => short_sleeve(sketch, 24),
        }
        back_neck(sketch, 28);
        sketch.whole(
            (150, neck),
            &[
                C(166, neck, 174, 114, 178, 100),
                C(188, 104, 198, 107, 208, 112),
                C(204, 130, 201, 146, 199, 160),
                C(197, 180, 190, 190, 189, 206),
                C(194, leave, flare - 12, arrive, flare, hem),
                C(200, hem + 9, 172, hem + 10, 150, hem + 10),
            ],
            Tone::Cloth,
        );
    }
    sketch.seam("M113 206C132 212 168 212 187 206", 2, 24);
    for (x, reach) in [(168, 30), (184, 62)] {
        sketch.seams(
            &format!(
                "M{} 216C{} 250 {} {} {} {}",
                x - 4,
                x,
                x + reach / 3,
                (hem - 40).max(236),
                x + reach / 2,
                hem - 6
            ),
            2,
            13,
        );
    }
    sketch.seam(&format!("M150 222V{}", hem - 14), 2, 10);
    if cut == 2 {
        sketch.seam(&format!("M150 {neck}V{hem}"), 1, 30);
        sketch.buttons(150, &[neck + 16, neck + 40, neck + 64, 224, 250, 276], 2);
        sketch.piece("M111 200C136 207 164 207 189 200L190 212C164 219 136 219 110 212z", Tone::Trim);
    } else if sketch.look.whim(4, 3) == 0 {
        sketch.piece("M111 200C136 207 164 207 189 200L190 211C164 218 136 218 110 211z", Tone::Trim);
        let rgb = sketch.trim();
        sketch.cord("M166 208C176 226 170 240 178 256M166 208C168 224 160 238 162 250", rgb, 4, "");
    }
}

/// Tees, tank tops, long-sleeved tops.
pub fn top(sketch: &mut Sketch<'_>) {
    let neck = 120 + sketch.look.whim(0, 3) * 11;
    match sketch.look.cut {
        1 => {
            sketch.piece("M124 92C134 100 166 100 176 92L172 170L128 170z", Tone::Inside);
            sketch.whole(
                (150, neck + 16),
                &[
                    C(166, neck + 14, 172, 112, 173, 90),
                    L(189, 90),
                    C(188, 124, 192, 146, 203, 158),
                    C(200, 190, 194, 210, 196, 226),
                    C(197, 250, 202, 264, 202, 282),
                    C(180, 287, 164, 288, 150, 288),
                ],
                Tone::Cloth,
            );
            sketch.seams(&format!("M150 {}C168 {} 176 116 177 92", neck + 21, neck + 19), 1, 22);
        }
        cut => {
            let (hip, hem) = if cut == 3 { (212, 258) } else { (202, 278) };
            if cut == 2 {
                long_sleeve(sketch, -4, false)
            } else {
                short_sleeve(sketch, if cut == 3 { 50 } else { 38 })
            }
            back_neck(sketch, 28);
            body(sketch, neck, if cut == 3 { 206 } else { 196 }, hip, hem);
            sketch.seams(&format!("M150 {}C168 {} 178 118 183 102", neck + 7, neck + 7), 1, 24);
            sketch.seam(
                &format!("M{} {}C180 {} 120 {} {} {}", hip, hem - 8, hem - 2, hem - 2, 300 - hip, hem - 8),
                1,
                20,
            );
        }
    }
    sketch.seams("M186 226C178 244 176 256 174 272M196 176C186 184 180 188 172 190", 2, 10);
}

/// Shirts and blouses.
pub fn shirt(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    if cut == 2 {
        short_sleeve(sketch, 52)
    } else {
        long_sleeve(sketch, if cut == 3 { 6 } else { 0 }, true)
    }
    back_neck(sketch, 26);
    let (hip, hem) = if cut == 3 { (214, 306) } else { (204, 284) };
    sketch.whole(
        (150, 136),
        &[
            L(176, 100),
            C(188, 104, 198, 107, 208, 112),
            C(204, 130, 202, 146, 201, 162),
            C(201, 186, 198, 200, 199, 220),
            C(201, 244, hip, hem - 46, hip, hem - 28),
            C(196, hem - 6, 170, hem + 8, 150, hem + 8),
        ],
        Tone::Cloth,
    );
    sketch.seam(&format!("M145 138V{}M156 138V{}", hem + 6, hem + 6), 1, 22);
    sketch.buttons(150, &[150, 178, 206, 234, 262], 2);
    sketch.pair("M176 98C180 106 182 112 183 120L164 137L150 122C160 118 168 110 174 99z", Tone::Trim);
    sketch.seam("M99 150C104 146 106 146 110 148", 1, 14);
    if cut == 1 || cut == 3 {
        sketch.pair("M164 164H190V190L177 197L164 190z", Tone::Behind);
        sketch.seams("M164 171H190", 1, 28);
    }
    sketch.seams("M190 214C182 236 178 252 176 276M196 178C188 186 180 190 172 192", 2, 10);
}

/// Jumpers and cardigans.
pub fn knit(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    long_sleeve(sketch, 4, true);
    let neck = 122;
    match cut {
        1 => {}
        _ => back_neck(sketch, 28),
    }
    if cut == 2 {
        sketch.piece("M122 100H178L150 196z", Tone::Inside);
        sketch.whole(
            (150, 190),
            &[
                L(178, 100),
                C(188, 104, 198, 107, 208, 112),
                C(205, 130, 203, 150, 203, 168),
                C(203, 200, 206, 240, 206, 276),
                L(150, 280),
            ],
            Tone::Cloth,
        );
        sketch.piece("M124 96L118 103C126 142 138 172 145 192V290H155V192C162 172 174 142 182 103L176 96C170 136 160 164 150 184C140 164 130 136 124 96z", Tone::Trim);
        sketch.buttons(150, &[200, 222, 244, 266], 3);
        sketch.pair("M166 236H196V264H166z", Tone::Behind);
    } else {
        body(sketch, if cut == 1 { 108 } else { neck }, 202, 206, 274);
        if cut == 1 {
            sketch.piece("M124 70C140 64 160 64 176 70L181 106C172 120 128 120 119 106z", Tone::Behind);
            sketch.seam("M122 90C140 98 160 98 178 90", 2, 20);
            sketch.seam("M122 76C140 82 160 82 178 76", 1, 14);
        } else {
            sketch
                .piece("M118 103L124 97C132 118 168 118 176 97L182 103C176 132 124 132 118 103z", Tone::Trim);
        }
    }
    sketch.whole(
        (150, 276),
        &[L(206, 272), C(207, 282, 206, 290, 204, 296), C(180, 301, 164, 302, 150, 302)],
        Tone::Trim,
    );
    if cut == 3 {
        for x in [130, 150, 170] {
            sketch.seam(&format!("M{x} 140q8 8 0 17t0 17 0 17 0 17 0 17 0 17 0 17M{x} 140q-8 8 0 17t0 17 0 17 0 17 0 17 0 17 0 17"), 2, 20);
        }
    }
    sketch.seams("M197 172C190 182 184 188 176 190", 2, 12);
}

/// Hoodies and sweatshirts.
pub fn sweat(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    long_sleeve(sketch, 6, true);
    back_neck(sketch, 28);
    if cut != 1 {
        sketch.piece(
            "M112 106C104 76 122 54 150 54C178 54 196 76 188 106C180 122 120 122 112 106z",
            Tone::Behind,
        );
        sketch.piece(
            "M124 104C120 82 132 68 150 68C168 68 180 82 176 104C170 122 130 122 124 104z",
            Tone::Inside,
        );
    }
    body(sketch, 126, 206, 208, 270);
    sketch.whole(
        (150, 274),
        &[L(208, 268), C(208, 280, 206, 288, 204, 294), C(180, 299, 164, 300, 150, 300)],
        Tone::Trim,
    );
    if cut == 1 {
        sketch.piece("M118 103L124 97C132 118 168 118 176 97L182 103C176 134 124 134 118 103z", Tone::Trim);
        sketch.seam("M143 132L150 142L157 132", 1, 24);
    } else {
        sketch.piece("M112 104C122 128 140 132 150 140C160 132 178 128 188 104C190 118 176 140 150 152C124 140 110 118 112 104z", Tone::Trim);
        let cord = sketch.look.ground;
        sketch.cord("M140 142C138 160 140 172 138 186M160 142C162 160 160 172 162 184", cord, 3, "");
        sketch.piece("M116 262L122 222H178L184 262z", Tone::Behind);
        sketch.seams("M178 222L184 262", 1, 26);
        if cut == 2 {
            let metal = sketch.look.ground;
            sketch.seam("M150 150V298", 5, 26);
            sketch.cord("M150 152V298", metal, 1, "2 2");
        }
    }
    sketch.seams("M198 174C190 184 184 188 174 190", 2, 10);
}
