//! Jackets, coats, blazers.

use super::sketch::Sketch;
use super::sketch::To::{C, L};
use super::sketch::Tone;

fn sleeves(sketch: &mut Sketch<'_>, length: i32, cuff: bool) {
    let y = 280 + length;
    sketch.pair(
        &format!(
            "M210 110C232 118 236 150 242 208C246 240 248 262 250 {y}L226 {}C218 250 210 214 202 170z",
            y + 8
        ),
        Tone::Behind,
    );
    if cuff {
        sketch.pair(&format!("M250 {}L250 {}L228 {}L225 {}z", y - 2, y + 16, y + 22, y + 6), Tone::Trim);
    } else {
        sketch.buttons(244, &[y - 14, y - 6], 2);
        sketch.buttons(56, &[y - 14, y - 6], 2);
    }
    sketch.seams(&format!("M214 176C220 206 226 240 234 {}", y - 14), 2, 14);
}

/// The front from collar to hem, open collar down to `open`.
fn front(sketch: &mut Sketch<'_>, open: i32, waist: i32, hip: i32, hem: i32) {
    sketch.piece(&format!("M124 96C136 90 164 90 176 96L178 130L150 {}L122 130z", open + 4), Tone::Inside);
    sketch.whole(
        (150, open),
        &[
            L(178, 98),
            C(190, 101, 202, 105, 212, 110),
            C(207, 132, 205, 148, 204, 166),
            C(203, 190, waist, 200, waist, 220),
            C(waist + 2, 246, hip, hem - 50, hip, hem),
            C(190, hem + 5, 168, hem + 6, 150, hem + 6),
        ],
        Tone::Cloth,
    );
}

fn lapels(sketch: &mut Sketch<'_>, open: i32, wide: i32) {
    sketch.pair(
        &format!(
            "M178 97L{} {}L{} {}L{} {}L150 {}L154 {}L174 99z",
            186 + wide / 2,
            120,
            178 + wide / 2,
            124,
            184 + wide,
            136,
            open + 2,
            open - 12
        ),
        Tone::Trim,
    );
    sketch.seams(&format!("M{} 124L{} 118", 178 + wide / 2, 170 + wide / 4), 1, 34);
}

/// Jackets.
pub fn jacket(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let hem = if cut == 1 { 282 } else { 256 };
    sleeves(sketch, 0, cut != 2);
    match cut {
        0 | 3 => {
            front(sketch, 122, 206, 210, hem);
            sketch.piece(
                "M122 90C136 84 164 84 178 90L184 106C170 118 158 120 150 128C142 120 130 118 116 106z",
                Tone::Trim,
            );
        }
        1 => {
            front(sketch, 130, 204, 210, hem);
            sketch
                .pair("M176 94C182 102 186 112 186 122L166 134L150 120C160 116 168 106 172 96z", Tone::Trim);
        }
        _ => {
            front(sketch, 176, 200, 206, hem);
            lapels(sketch, 178, 8);
        }
    }
    if cut == 3 {
        for y in [150, 176, 202, 228] {
            sketch.seam(&format!("M96 {y}C120 {} 180 {} 204 {y}", y + 8, y + 8), 2, 18);
        }
        sketch.seams("M160 130V256M182 116V256", 1, 12);
    }
    match cut {
        1 => {
            sketch.seam("M150 132V286", 1, 40);
            sketch.buttons(155, &[146, 180, 214, 248], 3);
            sketch.pair("M166 226H200V264H166z", Tone::Behind);
            sketch.pair("M164 158H192V188H164z", Tone::Behind);
        }
        2 => {
            let metal = [0xd7, 0xd2, 0xc8];
            sketch.cord("M152 178L170 258", metal, 2, "3 2");
            sketch.cord("M184 208L200 196M116 208L100 196M176 160L194 152", metal, 2, "3 2");
            sketch.whole((150, 246), &[L(206, 242), L(206, 258), L(150, 264)], Tone::Trim);
            sketch.buttons(150, &[254], 5);
        }
        _ => {
            let metal = sketch.look.ground;
            sketch.seam("M150 128V258", 5, 26);
            sketch.cord("M150 130V258", metal, 1, "2 2");
            sketch.whole(
                (150, hem),
                &[
                    L(210, hem - 4),
                    C(210, hem + 8, 208, hem + 14, 205, hem + 20),
                    C(180, hem + 25, 164, hem + 26, 150, hem + 26),
                ],
                Tone::Trim,
            );
            sketch.seams("M172 228L194 206", 3, 40);
        }
    }
    sketch.seams("M198 174C190 184 184 188 174 190", 2, 10);
}

/// Coats.
pub fn coat(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let hem = 340 + sketch.look.whim(1, 3) * 6;
    sleeves(sketch, 10, false);
    let double = cut >= 2;
    let open = if cut == 1 { 200 } else { 186 };
    front(sketch, open, if cut == 1 || cut == 2 { 196 } else { 206 }, 224, hem);
    lapels(sketch, open, if cut == 1 { 16 } else { 12 });
    sketch.seam(&format!("M150 {open}C151 260 152 300 152 {}", hem + 4), 1, 44);
    if double {
        sketch.buttons(136, &[206, 236, 266], 4);
        sketch.buttons(166, &[206, 236, 266], 4);
    } else if cut == 0 {
        sketch.buttons(157, &[206, 236, 266], 4);
    }
    if cut == 1 || cut == 2 {
        sketch.piece("M104 212C136 220 164 220 196 212L197 227C164 235 136 235 103 227z", Tone::Trim);
        if cut == 1 {
            sketch.pair("M152 224L164 226L172 274L160 276z", Tone::Trim);
        } else {
            let metal = [0xcf, 0xb7, 0x84];
            sketch.cord("M142 214H158V230H142z", metal, 3, "");
        }
    }
    if cut == 2 {
        sketch.pair("M178 110C190 108 204 108 212 112L206 156C192 158 180 150 172 140z", Tone::Behind);
        sketch.pair("M206 104L216 110L196 118L190 110z", Tone::Trim);
    }
    sketch.pair("M166 252L194 246L196 257L168 263z", Tone::Trim);
    sketch.seams(&format!("M188 236C194 270 200 300 202 {}", hem - 4), 2, 12);
}

/// Blazers.
pub fn blazer(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let hem = if cut == 2 { 306 } else { 276 };
    let open = if cut == 1 { 196 } else { 208 };
    sleeves(sketch, 0, false);
    front(sketch, open, 196, 212, hem);
    sketch.whole((150, 100), &[C(158, 100, 166, 99, 174, 98), L(150, open)], Tone::Pale);
    lapels(sketch, open, 10);
    sketch.seam(&format!("M150 {open}C150 240 154 {} 160 {}", hem - 30, hem + 5), 1, 44);
    if cut == 1 {
        sketch.buttons(138, &[206, 234], 4);
        sketch.buttons(164, &[206, 234], 4);
    } else {
        sketch.buttons(152, &[216, 240], 4);
    }
    sketch.pair("M170 250L195 246L196 258L171 262z", Tone::Trim);
    sketch.seam("M112 158L130 155", 3, 30);
    sketch.seams("M190 170C184 200 184 230 188 268", 1, 16);
}
