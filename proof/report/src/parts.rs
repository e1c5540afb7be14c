//! What pages are made of: the document around them, tables, places for charts, banners. Knows no run's verdict.

use crate::curves::Charts;
use crate::markup::Markup;
use crate::read::RUN_BEGINS;
use crate::words;
use tentpole_load::Run;

const SCRIPT: &str = include_str!("report.js");
const STYLE: &str = include_str!("report.css");

/// Nothing may be fetched, wherever the page is put.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                      script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n";

/// A whole document. `run`: what [`crate::read`] finds again, in the page of one run.
pub fn document(title: &str, body: &Markup, charts: &Charts, run: Option<&Run>) -> String {
    let mut page = Markup::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n").raw(POLICY);
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>").text(title).raw("</title>\n");
    page.raw("<style>\n").raw(tentpole_charts::STYLE).raw(STYLE).raw("</style>\n</head>\n");
    page.raw(if run.is_some() { "<body>\n" } else { "<body data-compared>\n" });
    page.raw("<main>\n").add(body).raw("</main>\n");
    page.raw("<script type=\"application/json\" id=\"charts\">").json(charts).raw("</script>\n");
    if let Some(run) = run {
        page.raw(RUN_BEGINS).json(run).raw("</script>\n");
    }
    page.raw("<script>\n").raw(tentpole_charts::SCRIPT).raw("</script>\n<script>\n").raw(SCRIPT);
    page.raw("</script>\n</body>\n</html>\n");
    page.finish()
}

/// A place that the script draws into; nothing when there is no such chart.
pub fn chart(into: &mut Markup, charts: &Charts, name: &'static str) {
    if charts.contains_key(name) {
        into.raw("<figure><div data-chart=\"").raw(name).raw("\"></div></figure>\n");
    }
}

/// A section's heading with a sentence or two below it.
pub fn heading(into: &mut Markup, title: &'static str, note: &str) {
    into.raw("<h2>").raw(title).raw("</h2>\n");
    if !note.is_empty() {
        into.raw("<p class=\"note\">").text(note).raw("</p>\n");
    }
}

/// Name and value, one below the other.
pub fn facts(into: &mut Markup, facts: &[(&'static str, String)]) {
    into.raw("<dl class=\"facts\">\n");
    for (name, value) in facts {
        into.raw("<dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd>\n");
    }
    into.raw("</dl>\n");
}

/// The figures that one remembers.
pub fn figures(into: &mut Markup, figures: &[(String, String, &'static str)]) {
    if figures.is_empty() {
        return;
    }
    into.raw("<dl class=\"figures\">\n");
    for (name, value, class) in figures {
        into.raw("<div><dt>").text(name).raw("</dt><dd class=\"").raw(class).raw("\">").text(value);
        into.raw("</dd></div>\n");
    }
    into.raw("</dl>\n");
}

/// One cell of a table.
pub struct Cell {
    text: String,
    class: &'static str,
    tone: Option<&'static str>,
}

impl Cell {
    /// A figure, or a word in a column of figures.
    pub fn figure(text: impl Into<String>) -> Self {
        Self::of(text, "")
    }

    /// Text in a column of text.
    pub fn words(text: impl Into<String>) -> Self {
        Self::of(text, "words")
    }

    /// With classes of the style sheet.
    pub fn of(text: impl Into<String>, class: &'static str) -> Self {
        Self { text: text.into(), class, tone: None }
    }

    /// With a piece of the curve's colour before it.
    pub fn toned(mut self, tone: &'static str) -> Self {
        self.tone = Some(tone);
        self
    }

    /// A time, or a dash where nothing succeeded.
    pub fn time(ms: Option<f64>) -> Self {
        ms.map_or_else(|| Self::of("\u{2013}", "quiet"), |ms| Self::figure(words::ms(ms)))
    }

    /// A number of failures: red when there are any.
    pub fn failed(failed: u64, share: Option<f64>) -> Self {
        match share {
            _ if failed == 0 => Self::of("0", "quiet"),
            Some(share) => Self::of(format!("{} ({})", words::count(failed), words::percent(share)), "bad"),
            None => Self::of(words::count(failed), "bad"),
        }
    }

    fn write(&self, into: &mut Markup, tag: Tag) {
        let (open, close) = match tag {
            Tag::Column => ("<th scope=\"col\" class=\"", "</th>"),
            Tag::Row => ("<th scope=\"row\" class=\"", "</th>"),
            Tag::Data => ("<td class=\"", "</td>"),
        };
        into.raw(open).raw(self.class).raw("\">");
        if let Some(tone) = self.tone {
            into.raw("<span class=\"swatch chart-tone-").raw(tone).raw("\"></span>");
        }
        into.text(&self.text).raw(close);
    }
}

#[derive(Clone, Copy)]
enum Tag {
    Column,
    Row,
    Data,
}

/// A row: its cells, the first of which names it, and whether it is where something broke.
pub struct Row {
    /// The first one is the row's name.
    pub cells: Vec<Cell>,
    /// Marked in red.
    pub broke: bool,
}

/// A table that scrolls sideways where the page is narrow, with its first column in sight. `groups`: headings over
/// several columns each, the first over the names.
pub fn table(
    into: &mut Markup,
    name: &'static str,
    groups: &[(String, &'static str)],
    head: &[Cell],
    rows: &[Row],
) {
    into.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
        .raw(name)
        .raw("\"><table>\n<thead>\n");
    if !groups.is_empty() {
        into.raw("<tr class=\"groups\">");
        for (text, columns) in groups {
            into.raw("<th scope=\"colgroup\" colspan=\"").raw(columns).raw("\">").text(text).raw("</th>");
        }
        into.raw("</tr>\n");
    }
    into.raw("<tr>");
    for cell in head {
        cell.write(into, Tag::Column);
    }
    into.raw("</tr>\n</thead>\n<tbody>\n");
    for row in rows {
        into.raw(if row.broke { "<tr class=\"broke\">" } else { "<tr>" });
        for (at, cell) in row.cells.iter().enumerate() {
            cell.write(into, if at == 0 { Tag::Row } else { Tag::Data });
        }
        into.raw("</tr>\n");
    }
    into.raw("</tbody>\n</table></div>\n");
}

/// What one has to know before one reads on. `name`: whose run it is, where there are several.
pub fn banners(into: &mut Markup, name: Option<&str>, run: &Run) {
    let whose = name.map(|name| format!("{name}: ")).unwrap_or_default();
    if !run.trusted || !run.distrust.is_empty() {
        into.raw("<div class=\"banner\" role=\"note\"><b>").text(&whose);
        into.raw("Do not trust these figures.</b>\n<ul>\n");
        for why in &run.distrust {
            let (what, cure) = words::distrust(run, why);
            into.raw("<li>").text(what).raw(" <b>").text(cure).raw("</b></li>\n");
        }
        into.raw("</ul></div>\n");
    }
    if let Some(why) = &run.stopped_for {
        into.raw("<div class=\"banner\" role=\"note\"><b>")
            .text(&whose)
            .raw("Ended to spare real visitors</b>: ");
        into.text(why).raw(".</div>\n");
    }
    if !run.accounts.is_empty() {
        into.raw("<div class=\"banner mild\" role=\"note\"><b>")
            .text(&whose)
            .raw("Journeys had a test account</b>: ");
        into.text(run.accounts.join(", ")).raw(". They could order, pay, mail or reserve as that.</div>\n");
    }
    if run.unverified {
        into.raw("<div class=\"banner mild\" role=\"note\"><b>")
            .text(&whose)
            .raw("Certificates were not verified");
        into.raw("</b> (--insecure): whoever answered was believed.</div>\n");
    }
    if run.interrupted {
        into.raw("<div class=\"banner mild\" role=\"note\"><b>").text(&whose).raw("Interrupted after ");
        into.text(words::duration(run.took_s));
        let is_some = run.steps.iter().any(|step| step.requests > 0);
        into.raw(".</b>").raw(if is_some { " What was measured until then is here." } else { "" });
        into.raw("</div>\n");
    }
}

/// Said where the script does not run.
pub fn without_script(into: &mut Markup) {
    into.raw(
        "<noscript><p class=\"banner mild\">The charts are drawn by a script, which does not run here. The tables \
         hold every figure.</p></noscript>\n",
    );
}
