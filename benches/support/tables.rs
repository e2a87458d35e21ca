//! Markdown tables.

use std::fmt::{self, Display};

/// A table whose first column names the rows.
pub(crate) struct Table {
    lines: Vec<String>,
}

impl Table {
    pub(crate) fn new(corner: &str, columns: impl IntoIterator<Item = String>) -> Self {
        let mut table = Self { lines: Vec::new() };
        table.row(corner, columns);
        let columns = table.lines[0].matches('|').count() - 2;
        table
            .lines
            .push(format!("|---|{}", "---:|".repeat(columns)));
        table
    }

    pub(crate) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let cells: String = cells.into_iter().map(|cell| format!(" {cell} |")).collect();
        self.lines.push(format!("| {name} |{cells}"));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
