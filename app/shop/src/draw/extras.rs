//! Boots, trainers, bags, scarves, hats.

use super::sketch::Sketch;
use super::sketch::To::{C, L};
use super::sketch::Tone;

/// A path given relative to `(x, y)`, so that one shoe can be drawn in two places.
fn moved(x: i32, y: i32, path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    for (nth, word) in path.split_ascii_whitespace().enumerate() {
        // Words are `letter` or `across,down`.
        match word.split_once(',') {
            None => out.push_str(word),
            Some((across, down)) => {
                let number = |text: &str| text.parse::<i32>().unwrap_or(0);
                if nth > 0 && out.ends_with(|c: char| c.is_ascii_digit()) {
                    out.push(' ');
                }
                out.push_str(&format!("{} {}", x + number(across), y + number(down)));
            }
        }
    }
    out
}

/// Boots, from the side, the second one behind the first. The origin of a boot is where its heel stands.
pub fn boots(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    let slim = sketch.look.whim(0, 2) == 0;
    for (x, y, tone) in [(122, 332, Tone::Behind), (84, 350, Tone::Cloth)] {
        let shaft = if cut == 1 {
            "M -4,-252 C 16,-258 44,-258 64,-252 C 66,-200 54,-150 56,-92"
        } else {
            "M 0,-160 C 16,-166 40,-166 56,-160 C 56,-136 54,-112 56,-92"
        };
        let back = if cut == 1 {
            "C 0,-40 -2,-70 4,-98 C 8,-150 -6,-200 -4,-252 z"
        } else {
            "C 0,-40 -2,-70 2,-98 C 4,-120 2,-140 0,-160 z"
        };
        let foot = "C 58,-64 96,-62 116,-44 C 128,-34 132,-22 130,-10 L 2,-10";
        sketch.piece(&moved(x, y, &format!("{shaft} {foot} {back}")), tone);
        if cut == 1 {
            sketch.piece(
                &moved(x, y, "M -4,-252 C 16,-260 44,-260 64,-252 C 44,-244 16,-244 -4,-252 z"),
                Tone::Inside,
            );
        } else {
            sketch.piece(
                &moved(x, y, "M 0,-160 C 16,-168 40,-168 56,-160 C 40,-153 16,-153 0,-160 z"),
                Tone::Inside,
            );
        }
        if cut == 2 {
            sketch.piece(&moved(x, y, "M 14,-155 C 22,-152 34,-152 42,-155 C 40,-128 38,-104 30,-82 C 20,-100 16,-128 14,-155 z"), Tone::Inside);
            sketch.cord(&moved(x, y, "M 2,-160 C -4,-172 6,-176 8,-162"), sketch.trim(), 3, "");
        }
        let sole = if slim {
            "M 0,-11 L 130,-11 C 133,-6 132,-1 126,-1 L 52,-2 C 46,-4 42,-4 38,-2 L 38,8 L 2,8 z"
        } else {
            "M -1,-13 L 131,-13 C 136,-6 136,6 128,8 L 48,8 L 44,2 L 40,8 L 0,8 z"
        };
        sketch.piece(&moved(x, y, sole), Tone::Inside);
        if cut == 0 {
            let lace = sketch.look.ground;
            let rows = "M 40,-142 L 57,-146 M 40,-126 L 57,-130 M 41,-110 L 58,-114 M 46,-94 L 63,-97 M 56,-78 L 72,-83";
            sketch.cord(&moved(x, y, rows), lace, 3, "");
            sketch.seam(&moved(x, y, "M 38,-152 C 38,-120 40,-96 54,-74"), 1, 30);
        }
        sketch.seam(&moved(x, y, "M 66,-62 C 62,-40 44,-30 42,-12"), 1, 24);
        sketch.seam(&moved(x, y, "M 6,-90 C 20,-80 36,-78 54,-88"), 2, 14);
    }
}

/// Trainers, from the side, the second one behind the first. The origin of a shoe is where its heel stands.
pub fn trainers(sketch: &mut Sketch<'_>) {
    let cut = sketch.look.cut;
    for (x, y, tone) in [(78, 312, Tone::Behind), (36, 338, Tone::Cloth)] {
        let upper = match cut {
            1 => {
                "M 4,-124 C 22,-132 46,-132 66,-128 C 68,-104 78,-84 100,-66 C 118,-54 146,-52 164,-42 C 178,-34 184,-22 182,-8"
            }
            2 => {
                "M 4,-68 C 24,-62 46,-58 62,-62 C 74,-76 90,-82 104,-76 C 130,-64 146,-56 164,-46 C 178,-38 184,-24 182,-8"
            }
            _ => {
                "M 2,-82 C 12,-92 22,-78 36,-74 C 52,-72 62,-84 72,-94 C 82,-78 96,-66 112,-60 C 132,-52 150,-50 164,-42 C 178,-34 184,-22 182,-8"
            }
        };
        let heel = if cut == 1 { "L 2,-8 C -4,-40 8,-80 4,-124 z" } else { "L 2,-8 C -4,-32 0,-56 2,-76 z" };
        sketch.piece(&moved(x, y, &format!("{upper} {heel}")), tone);
        match cut {
            1 => sketch.piece(
                &moved(x, y, "M 4,-124 C 22,-134 46,-134 66,-128 C 46,-118 22,-118 4,-124 z"),
                Tone::Inside,
            ),
            2 => sketch.piece(
                &moved(
                    x,
                    y,
                    "M 62,-62 C 68,-66 76,-74 86,-78 C 88,-62 84,-50 74,-40 C 68,-46 64,-54 62,-62 z",
                ),
                Tone::Inside,
            ),
            _ => {}
        }
        sketch.piece(
            &moved(x, y, "M -2,-16 C 60,-8 120,-8 182,-16 C 190,-8 188,4 178,8 C 120,11 40,11 4,8 C -4,4 -4,-8 -2,-16 z"),
            Tone::Pale,
        );
        sketch.seam(&moved(x, y, "M 0,-2 C 60,3 130,3 184,-3"), 1, 22);
        sketch.seam(&moved(x, y, "M 128,-54 C 122,-38 128,-24 140,-13"), 1, 30);
        if cut != 2 {
            let lace = super::sketch::faded([0xff, 0xfc, 0xf6], sketch.look.ground);
            let low = "M 122,-58 L 106,-42 M 108,-63 L 93,-47 M 96,-70 L 82,-54 M 86,-79 L 72,-64";
            let high = "M 74,-92 L 56,-84 M 69,-106 L 50,-100 M 67,-119 L 48,-114";
            sketch.cord(&moved(x, y, low), lace, 4, "");
            if cut == 1 {
                sketch.cord(&moved(x, y, high), lace, 4, "");
            }
            sketch.seam(&moved(x, y, "M 118,-36 C 96,-38 76,-48 62,-64"), 1, 26);
        }
        if sketch.look.whim(1, 2) == 0 {
            sketch.piece(&moved(x, y, "M 1,-58 C 14,-58 26,-48 34,-13 C 20,-12 10,-13 1,-15 z"), Tone::Trim);
        } else {
            sketch.seam(&moved(x, y, "M 4,-54 C 22,-52 36,-36 42,-13"), 1, 30);
        }
    }
}

/// Bags.
pub fn bag(sketch: &mut Sketch<'_>) {
    let rgb = sketch.trim();
    let metal = [0xcd, 0xb0, 0x76];
    match sketch.look.cut {
        0 => {
            sketch.cord(
                "M112 176C112 100 132 76 150 76C168 76 188 100 188 176",
                super::sketch::faded(rgb, [0; 3]),
                7,
                "",
            );
            sketch.whole(
                (150, 166),
                &[L(214, 166), C(220, 230, 226, 300, 228, 342), C(228, 350, 222, 354, 216, 354), L(150, 356)],
                Tone::Cloth,
            );
            sketch.cord("M116 196C116 120 134 96 150 96C166 96 184 120 184 196", rgb, 7, "");
            sketch.seam("M87 178H213", 1, 30);
            sketch.buttons(116, &[198], 4);
            sketch.buttons(184, &[198], 4);
            if sketch.look.whim(1, 2) == 0 {
                sketch.piece("M120 252H180V318H120z", Tone::Behind);
                sketch.seam("M120 262H180", 1, 26);
            }
        }
        1 => {
            sketch.cord("M92 226C70 120 120 60 150 60C180 60 230 120 208 226", rgb, 5, "");
            sketch.whole(
                (150, 214),
                &[
                    L(206, 212),
                    C(216, 212, 222, 220, 222, 232),
                    L(226, 324),
                    C(226, 340, 216, 348, 204, 348),
                    L(150, 350),
                ],
                Tone::Behind,
            );
            sketch.whole(
                (150, 208),
                &[L(206, 208), C(218, 208, 224, 218, 224, 230), C(226, 270, 206, 292, 150, 296)],
                Tone::Cloth,
            );
            sketch.seams("M150 290C198 287 217 268 217 234", 1, 28);
            sketch.cord("M143 282H157V304H143z", metal, 3, "");
        }
        2 => {
            sketch.cord("M104 190C96 96 204 96 196 190", rgb, 6, "");
            sketch.piece("M92 182C120 172 180 172 208 182C196 194 104 194 92 182z", Tone::Inside);
            sketch.whole(
                (150, 192),
                &[
                    C(180, 191, 200, 187, 208, 182),
                    C(208, 240, 214, 300, 220, 332),
                    C(218, 348, 190, 354, 150, 354),
                ],
                Tone::Cloth,
            );
            sketch.cord("M96 212C130 222 170 222 204 212", rgb, 4, "10 7");
            sketch.cord("M144 219C136 240 140 256 132 272M156 219C162 238 158 254 166 268", rgb, 4, "");
            sketch.seams("M170 226C176 270 180 310 182 346", 2, 14);
        }
        _ => {
            sketch.cord("M116 208C116 150 132 134 150 134C168 134 184 150 184 208", rgb, 8, "");
            sketch.whole(
                (150, 200),
                &[
                    L(196, 200),
                    C(204, 200, 208, 206, 210, 214),
                    L(230, 334),
                    C(231, 346, 224, 352, 214, 352),
                    L(150, 354),
                ],
                Tone::Cloth,
            );
            sketch.piece("M100 226C130 236 170 236 200 226L205 256C170 268 130 268 95 256z", Tone::Trim);
            sketch.cord("M150 240V266", metal, 9, "");
            sketch.buttons(116, &[216], 4);
            sketch.buttons(184, &[216], 4);
            sketch.seam("M80 330C120 338 180 338 220 330", 1, 22);
        }
    }
}

/// Scarves.
pub fn scarf(sketch: &mut Sketch<'_>) {
    match sketch.look.cut {
        2 => {
            sketch.piece("M74 130C110 104 190 104 226 130L158 286C154 294 146 294 142 286z", Tone::Cloth);
            sketch.seam("M92 138C120 122 180 122 208 138L150 272z", 2, 26);
            sketch.piece("M70 132C100 100 200 100 230 132C226 146 214 150 206 146C180 130 120 130 94 146C84 150 74 146 70 132z", Tone::Behind);
            sketch.piece("M206 142C222 140 232 148 240 166C228 172 214 164 204 152z", Tone::Trim);
            sketch.piece("M212 140C228 126 244 130 254 140C244 152 226 152 212 148z", Tone::Cloth);
            sketch.seam("M120 150C136 190 144 220 148 250M180 150C168 180 160 210 154 236", 2, 12);
        }
        cut => {
            let (w, hem) = if cut == 1 { (16, 318) } else { (0, 334) };
            let ends = [(164, 16, hem - 26, Tone::Behind), (112, -6, hem, Tone::Cloth)];
            for (x, lean, low, tone) in ends {
                let (l, r) = (x - 26 - w, x + 24 + w);
                let mut fringe = String::new();
                for step in 0..9 {
                    let at = l + lean + 3 + step * (r - l - 6) / 8;
                    fringe += &format!("M{at} {low}v16");
                }
                let rgb = sketch.trim();
                sketch.cord(&fringe, rgb, 2, "");
                sketch.piece(
                    &format!(
                        "M{} 150C{l} 210 {} 260 {} {low}H{}C{} 260 {r} 210 {} 150z",
                        l + 12,
                        l + lean,
                        l + lean,
                        r + lean,
                        r + lean,
                        r - 6
                    ),
                    tone,
                );
                sketch.seam(
                    &format!(
                        "M{} 190C{} 240 {} 280 {} {}",
                        x - 8,
                        x - 10,
                        x + lean - 8,
                        x + lean - 8,
                        low - 12
                    ),
                    2,
                    14,
                );
            }
            sketch.piece("M88 118C92 84 124 72 150 72C176 72 208 84 212 118C216 152 190 176 150 178C110 176 84 152 88 118z", Tone::Cloth);
            sketch.piece("M114 108C120 92 136 88 150 88C164 88 180 92 186 108C178 124 164 128 150 128C136 128 122 124 114 108z", Tone::Inside);
            sketch.seam(
                "M92 128C108 158 140 166 160 164C184 160 202 146 208 126M98 142C116 168 150 174 176 166",
                2,
                18,
            );
        }
    }
}

/// Hats.
pub fn hat(sketch: &mut Sketch<'_>) {
    match sketch.look.cut {
        1 => {
            sketch.whole((150, 122), &[C(196, 122, 222, 158, 224, 232), L(150, 240)], Tone::Cloth);
            for (x, bend) in [(164, 10), (184, 24), (202, 34)] {
                sketch.seams(
                    &format!("M{} 128C{} 150 {x} 190 {x} 232", 150 + (x - 150) / 3, x - bend / 2),
                    2,
                    14,
                );
            }
            sketch.piece("M72 226C110 238 190 238 228 226L230 272C190 286 110 286 70 272z", Tone::Trim);
            for step in 0..5 {
                let x = 158 + step * 16;
                sketch.seams(&format!("M{x} 236V{}", 281 - step * 2), 2, 16);
            }
            if sketch.look.whim(1, 2) == 0 {
                sketch.piece("M122 112C120 90 136 80 150 80C164 80 180 90 178 112C176 128 164 134 150 134C136 134 124 128 122 112z", Tone::Behind);
            }
        }
        2 => {
            sketch.whole(
                (150, 148),
                &[C(186, 148, 198, 154, 202, 164), L(214, 226), L(150, 236)],
                Tone::Cloth,
            );
            sketch.piece("M88 222C126 234 174 234 212 222C228 246 244 268 250 288C200 272 100 272 50 288C56 268 72 246 88 222z", Tone::Behind);
            sketch.seam("M90 224C126 236 174 236 210 224M76 246C120 250 180 250 224 246M64 266C116 258 184 258 236 266", 1, 26);
            sketch.seam("M102 164C130 170 170 170 198 164", 1, 22);
        }
        cut => {
            let brim = if cut == 3 { 138 } else { 112 };
            let low = if cut == 3 { 290 } else { 268 };
            sketch.piece(
                &format!(
                    "M{} 252C{} 222 {} 222 {} 252C{} {low} {} {low} {} 252z",
                    150 - brim,
                    150 - brim / 2,
                    150 + brim / 2,
                    150 + brim,
                    150 + brim * 3 / 4,
                    150 - brim * 3 / 4,
                    150 - brim
                ),
                Tone::Behind,
            );
            if cut == 3 {
                sketch.whole(
                    (150, 158),
                    &[C(190, 158, 212, 186, 216, 246), C(200, 256, 170, 258, 150, 258)],
                    Tone::Cloth,
                );
            } else {
                sketch.whole(
                    (150, 164),
                    &[
                        C(164, 150, 184, 148, 194, 160),
                        C(204, 180, 210, 214, 214, 246),
                        C(200, 256, 170, 258, 150, 258),
                    ],
                    Tone::Cloth,
                );
                sketch.seam("M150 166C148 184 150 196 154 206", 3, 18);
            }
            sketch.piece("M86 224C110 236 190 236 214 224L216 246C190 259 110 259 84 246z", Tone::Inside);
            sketch.seam(
                &format!(
                    "M{} 254C{} {} {} {} {} 254",
                    166 - brim,
                    150 - brim / 2,
                    low - 8,
                    150 + brim / 2,
                    low - 8,
                    134 + brim
                ),
                1,
                20,
            );
        }
    }
}
