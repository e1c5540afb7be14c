//! Charts as SVG, drawn in the browser: one set for console and reports.
