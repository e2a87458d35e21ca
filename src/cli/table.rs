//! Lays out columns of text within the width of a terminal.
//!
//! ```text
//! headings on one line ─▶ headings wrapped ─▶ prose narrower ─▶ other text narrower ─▶ smaller gaps
//!   ─▶ the longest texts, then the last columns, below each row ─▶ one line for each cell
//! ```
//!
//! Each step is taken if the one before is too wide. Prose, which has spaces, is wrapped at them; other text, such as an
//! id or a URL, is shortened in its middle. Numbers and times are never shortened. Without a width, as in a pipe or a
//! file, everything is on one line and nothing is shortened.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthStr;

use crate::escape::escape;

/// The blanks between two columns, and where that is too wide.
const GAP: usize = 2;
const NARROW_GAP: usize = 1;
/// The most lines of a cell of a table.
const MAX_LINES: usize = 6;
/// The narrowest columns of prose and of other text.
const NARROW_PROSE: usize = 24;
const NARROW_TEXT: usize = 14;
const NARROWEST: usize = 9;
/// The fewest columns of a table whose other cells are below each row, and the indentation of these.
const FEWEST_COLUMNS: usize = 3;
const INDENT: usize = 2;

/// What a column has, which decides how its cells are aligned and shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Aligned to the right, and never shortened.
    Number,
    /// Never shortened.
    Time,
    Text,
}

/// A table of texts.
#[derive(Debug)]
pub(super) struct TextTable {
    headings: Vec<String>,
    kinds: Vec<ColumnKind>,
    rows: Vec<Vec<String>>,
    /// Whether prose is never shortened, however many lines it takes.
    is_whole: bool,
}

/// The widths of the columns and of the gaps between them, and the columns whose cells are below each row.
struct ColumnLayout {
    /// By number of the column.
    widths: BTreeMap<usize, usize>,
    gap: usize,
    below: BTreeSet<usize>,
    /// The width of the terminal.
    room: usize,
}

impl TextTable {
    /// Return a table with these columns and no rows.
    pub(super) fn new(columns: impl IntoIterator<Item = (String, ColumnKind)>) -> Self {
        let columns = columns.into_iter();
        let (headings, kinds) = columns.map(|(name, kind)| (one_line(&name), kind)).unzip();
        Self {
            headings,
            kinds,
            rows: Vec::new(),
            is_whole: false,
        }
    }

    /// Return a table without headings, of lines of text, whose prose is never shortened.
    pub(super) fn of_lines(lines: &[Vec<String>]) -> Self {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let mut table = Self::new((0..columns).map(|_| (String::new(), ColumnKind::Text)));
        table.is_whole = true;
        lines.iter().for_each(|line| table.push(line.clone()));
        table
    }

    /// Add a row. Its cells are escaped.
    pub(super) fn push(&mut self, cells: Vec<String>) {
        let mut cells: Vec<_> = cells.iter().map(|cell| one_line(cell)).collect();
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
    }

    /// Return the lines of the table, each at most `width` columns wide.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        match self.fit(width) {
            Some(layout) => self.render_rows(&layout),
            None => self.render_records(width.unwrap_or(usize::MAX)),
        }
    }

    /// Return each row as the lines of its own that [`TextTable::render`] would print.
    pub(super) fn render_each(&self, width: Option<usize>) -> Vec<String> {
        match self.fit(width) {
            Some(layout) => {
                let rows = self.rows.iter();
                rows.map(|row| self.row(row, &layout)).collect()
            }
            None => {
                let width = width.unwrap_or(usize::MAX);
                let rows = self.rows.iter();
                rows.map(|row| self.record(row, width)).collect()
            }
        }
    }

    /// Return the rows as a table of GitHub's Markdown.
    pub(super) fn render_markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let rules = self.kinds.iter().map(|kind| match kind {
            ColumnKind::Number => "---:".to_owned(),
            _ => "---".to_owned(),
        });
        let mut text = line(self.headings.iter().map(|it| markdown(it)).collect());
        text.push_str(&line(rules.collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|it| markdown(it)).collect()));
        }
        text
    }

    /// Choose the width of each column. `None` if the narrowest columns are too wide together.
    fn fit(&self, width: Option<usize>) -> Option<ColumnLayout> {
        let mut columns: Vec<_> = (0..self.headings.len()).collect();
        let mut below = BTreeSet::new();
        loop {
            for gap in [GAP, NARROW_GAP] {
                if let Some(widths) = self.fit_with(&columns, gap, width) {
                    return Some(ColumnLayout {
                        widths: columns.into_iter().zip(widths).collect(),
                        gap,
                        below,
                        room: width.unwrap_or(usize::MAX),
                    });
                }
            }
            if columns.len() <= FEWEST_COLUMNS || !self.has_headings() {
                return None;
            }
            let moved = self.longest_text(&columns).or(columns.last().copied())?;
            columns.retain(|column| *column != moved);
            below.insert(moved);
        }
    }

    /// Return the column of the longest texts, other than the first column.
    fn longest_text(&self, columns: &[usize]) -> Option<usize> {
        let texts = columns.iter().skip(1).copied();
        let texts = texts.filter(|n| self.kinds.get(*n) == Some(&ColumnKind::Text));
        let long = texts.filter(|n| self.widest_cell(*n) > NARROW_TEXT);
        long.max_by_key(|n| self.widest_cell(*n))
    }

    fn fit_with(&self, shown: &[usize], gap: usize, width: Option<usize>) -> Option<Vec<usize>> {
        let columns = || shown.iter().copied();
        let cells: Vec<_> = columns().map(|n| self.widest_cell(n)).collect();
        let one_line: Vec<_> = columns()
            .zip(&cells)
            .map(|(n, cell)| (*cell).max(self.heading(n).width()))
            .collect();
        let Some(width) = width else {
            return Some(one_line);
        };
        let room = width.checked_sub(gap * shown.len().saturating_sub(1))?;
        if sum(&one_line) <= room {
            return Some(one_line);
        }
        let mut widths: Vec<_> = columns()
            .zip(&cells)
            .map(|(n, cell)| (*cell).min(room).max(widest_word(self.heading(n))))
            .collect();
        let places = |is: &dyn Fn(usize) -> bool| -> Vec<usize> {
            let columns = columns().enumerate().filter(|(_, n)| is(*n));
            columns.map(|(place, _)| place).collect()
        };
        let prose = places(&|n| self.is_prose(n));
        let texts = places(&|n| self.kinds.get(n) == Some(&ColumnKind::Text));
        // A long text is better read below its row than in a narrower column.
        let narrowest = match self.has_headings() {
            true => NARROW_TEXT,
            false => NARROWEST,
        };
        narrow(&mut widths, &prose, NARROW_PROSE, room);
        narrow(&mut widths, &texts, narrowest, room);
        let mut left = room.checked_sub(sum(&widths))?;
        // Headings take what is left, so that fewer of them are wrapped.
        for (width, wanted) in widths.iter_mut().zip(&one_line) {
            let more = wanted.saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
        Some(widths)
    }

    fn has_headings(&self) -> bool {
        self.headings.iter().any(|heading| !heading.is_empty())
    }

    fn heading(&self, column: usize) -> &str {
        cell(&self.headings, column)
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        let cells = self.rows.iter().filter_map(move |row| row.get(column));
        cells.map(String::as_str)
    }

    fn widest_cell(&self, column: usize) -> usize {
        self.cells(column)
            .map(UnicodeWidthStr::width)
            .max()
            .unwrap_or(0)
    }

    /// Whether a column has text with spaces, which can be wrapped.
    fn is_prose(&self, column: usize) -> bool {
        self.kinds.get(column) == Some(&ColumnKind::Text)
            && self.cells(column).any(|cell| cell.trim().contains(' '))
    }

    fn render_rows(&self, layout: &ColumnLayout) -> String {
        let mut text = String::new();
        if self.has_headings() {
            text.push_str(&self.line_of_cells(&self.headings, layout));
            let rules = layout.widths.values().map(|width| "-".repeat(*width));
            text.push_str(&rules.collect::<Vec<_>>().join(&" ".repeat(layout.gap)));
            text.push('\n');
        }
        text.extend(self.rows.iter().map(|row| self.row(row, layout)));
        text
    }

    /// Return the lines of one row, with the cells below it.
    fn row(&self, cells: &[String], layout: &ColumnLayout) -> String {
        let mut text = self.line_of_cells(cells, layout);
        let below = layout
            .below
            .iter()
            .map(|n| (self.heading(*n), cell(cells, *n)));
        let below = below.filter(|(_, cell)| !cell.is_empty());
        let words: Vec<_> = below
            .map(|(heading, cell)| format!("{heading}: {cell}"))
            .collect();
        for line in flow(&words, layout.room.saturating_sub(INDENT)) {
            text.push_str(&format!("{}{line}\n", " ".repeat(INDENT)));
        }
        text
    }

    /// Return the lines of the cells side by side.
    fn line_of_cells(&self, cells: &[String], layout: &ColumnLayout) -> String {
        let ColumnLayout { widths, gap, .. } = layout;
        let blocks: Vec<_> = widths
            .iter()
            .map(|(n, width)| {
                let lines = lines_within(cell(cells, *n), *width, self.is_whole);
                (lines, *width, self.kinds.get(*n))
            })
            .collect();
        let height = blocks
            .iter()
            .map(|(lines, ..)| lines.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for n in 0..height {
            let mut line = String::new();
            for (lines, width, kind) in &blocks {
                let cell = cell(lines, n);
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                match kind {
                    Some(ColumnKind::Number) => line.extend([blanks.as_str(), cell]),
                    _ => line.extend([cell, blanks.as_str()]),
                }
                line.push_str(&" ".repeat(*gap));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Return every row as lines of heading and cell, with an empty line between rows.
    fn render_records(&self, width: usize) -> String {
        let records: Vec<_> = self
            .rows
            .iter()
            .map(|row| self.record(row, width))
            .collect();
        records.join("\n")
    }

    fn record(&self, row: &[String], width: usize) -> String {
        let headings = self.headings.iter().map(|heading| heading.width());
        let label = headings.max().unwrap_or(0).min(width / 3);
        let room = width.saturating_sub(label + GAP).max(NARROWEST);
        let mut text = String::new();
        for (heading, cell) in self.headings.iter().zip(row) {
            let mut heading = shorten(heading, label);
            for line in lines_within(cell, room, self.is_whole) {
                let blanks = " ".repeat((label + GAP).saturating_sub(heading.width()));
                text.push_str(format!("{heading}{blanks}{line}").trim_end());
                text.push('\n');
                heading.clear();
            }
        }
        text
    }
}

/// Narrow the widest of the `shrunk` columns until all columns fit into `room`, or these have the width `least`.
fn narrow(widths: &mut [usize], shrunk: &[usize], least: usize, room: usize) {
    while sum(widths) > room {
        let widest = shrunk.iter().copied().max_by_key(|n| widths.get(*n));
        match widest.and_then(|n| widths.get_mut(n)) {
            Some(width) if *width > least => *width -= 1,
            _ => return,
        }
    }
}

fn cell(cells: &[String], n: usize) -> &str {
    cells.get(n).map_or("", String::as_str)
}

/// Return the texts one after another, as many on a line of at most `width` columns as fit there.
fn flow(texts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for text in texts {
        match lines.last_mut() {
            Some(line) if line.width() + GAP + text.width() <= width => {
                line.push_str(&" ".repeat(GAP));
                line.push_str(text);
            }
            _ => lines.extend(lines_within(text, width, true)),
        }
    }
    lines
}

fn sum(widths: &[usize]) -> usize {
    widths.iter().sum()
}

fn one_line(text: &str) -> String {
    escape(text).into_owned()
}

fn widest_word(text: &str) -> usize {
    let words = text.split(' ').map(UnicodeWidthStr::width);
    words.max().unwrap_or(0)
}

/// Return `text` as lines of at most `width` columns, wrapped at blanks. Unless it `is_whole`, long words are shortened and
/// the lines after [`MAX_LINES`] are left out.
fn lines_within(text: &str, width: usize, is_whole: bool) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ if is_whole => lines.extend(cut(word, width)),
            _ => lines.push(shorten(word, width)),
        }
    }
    if !is_whole && lines.len() > MAX_LINES {
        lines.truncate(MAX_LINES);
        if let Some(last) = lines.last_mut() {
            *last = format!("{} …", prefix(last, width.saturating_sub(2)));
        }
    }
    lines
}

/// Cut `text` into pieces of at most `width` columns.
fn cut(mut text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    while text.width() > width {
        let piece = match prefix(text, width) {
            // A character that is wider than the column.
            "" => text,
            piece => piece,
        };
        pieces.push(piece.to_owned());
        text = text.get(piece.len()..).unwrap_or_default();
    }
    pieces.push(text.to_owned());
    pieces
}

/// Return `text` with its middle left out if it is wider than `width`.
fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let reversed: String = text.chars().rev().collect();
    let tail = prefix(&reversed, room / 2);
    let tail: String = tail.chars().rev().collect();
    format!("{}…{tail}", prefix(text, room - room / 2))
}

/// Return the beginning of `text` that is at most `width` columns wide.
fn prefix(text: &str, width: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let fitting = ends.take_while(|end| text.get(..*end).is_some_and(|it| it.width() <= width));
    text.get(..fitting.last().unwrap_or(0)).unwrap_or_default()
}

/// Return `text` so that Markdown shows it as it is.
fn markdown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '<' | '`' | '*' | '[' | ']') {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(headings: &[(&str, ColumnKind)], rows: &[&[&str]]) -> TextTable {
        let columns = headings
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind));
        let mut table = TextTable::new(columns);
        for row in rows {
            table.push(row.iter().map(|cell| (*cell).to_owned()).collect());
        }
        table
    }

    fn deployments() -> TextTable {
        table(
            &[
                ("project", ColumnKind::Text),
                ("failure rate %", ColumnKind::Number),
                ("at", ColumnKind::Time),
                ("note", ColumnKind::Text),
                ("url", ColumnKind::Text),
            ],
            &[&[
                "checkout",
                "12.5",
                "2026-11-20T17:00:00Z",
                "no source of incidents for all of this period",
                "https://bitbucket.org/acme/checkout-web/pull-requests/417",
            ]],
        )
    }

    #[test]
    fn without_a_width_everything_is_on_one_line() {
        assert_eq!(
            deployments().render(None),
            "project   failure rate %  at                    note                                           url\n\
             --------  --------------  --------------------  ---------------------------------------------  ---------------------------------------------------------\n\
             checkout            12.5  2026-11-20T17:00:00Z  no source of incidents for all of this period  https://bitbucket.org/acme/checkout-web/pull-requests/417\n"
        );
    }

    #[test]
    fn a_narrow_table_wraps_prose_and_shortens_other_text_in_its_middle() {
        let expected = "
project   failure  at                    note                 url
           rate %
--------  -------  --------------------  -------------------  ------------------
checkout     12.5  2026-11-20T17:00:00Z  no source of         https://b…ests/417
                                         incidents for all
                                         of this period
";
        assert_eq!(deployments().render(Some(80)), expected.trim_start());
    }

    #[test]
    fn the_longest_texts_of_a_wide_table_are_below_each_row() {
        let expected = "
project   failure  at                    note
           rate %
--------  -------  --------------------  -------------------
checkout     12.5  2026-11-20T17:00:00Z  no source of
                                         incidents for all
                                         of this period
  url:
  https://bitbucket.org/acme/checkout-web/pull-requests/417
";
        assert_eq!(deployments().render(Some(60)), expected.trim_start());
    }

    #[test]
    fn a_table_of_too_many_columns_has_one_line_for_each_cell() {
        let expected = "
project       checkout
failur…ate %  12.5
at            2026-11-20T17:00:00Z
note          no source of incidents
              for all of this period
url           https://bit…quests/417
";
        assert_eq!(deployments().render(Some(36)), expected.trim_start());
    }

    #[test]
    fn markdown_shows_text_as_it_is() {
        let table = table(
            &[("a|b", ColumnKind::Text), ("n", ColumnKind::Number)],
            &[&["<b>*x*</b>\n", "1"]],
        );
        assert_eq!(
            table.render_markdown(),
            "| a\\|b | n |\n| --- | ---: |\n| \\<b>\\*x\\*\\</b>\\\\n | 1 |\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(shorten("日本語のタイトル", 9), "日本…トル");
        assert_eq!(shorten("日本語のタイトル", 9).width(), 9);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec(prop::collection::vec("[a-z é日]{0,60}", 5), 1..6),
            width in 30_usize..120,
        ) {
            let kind = ColumnKind::Text;
            let mut table = TextTable::new(["a", "longer heading", "c", "d", "e"].map(|it| (it.to_owned(), kind)));
            rows.into_iter().for_each(|row| table.push(row));
            for line in table.render(Some(width)).lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
