//! Tables whose rows become blocks on a narrow page, where each value has the heading of its column before it.

use maud::{Markup, html};

/// A column after the first, which names the row.
pub(super) struct ListColumn<'a, R> {
    heading: &'static str,
    /// The classes of its cells; the heading of numbers has `n` as well.
    class: &'static str,
    cell: Box<dyn Fn(&R) -> Markup + 'a>,
}

impl<'a, R> ListColumn<'a, R> {
    pub(super) fn text(heading: &'static str, cell: impl Fn(&R) -> Markup + 'a) -> Self {
        Self::of_class("", heading, cell)
    }

    pub(super) fn number(heading: &'static str, cell: impl Fn(&R) -> Markup + 'a) -> Self {
        Self::of_class("n", heading, cell)
    }

    /// The number that the rows are sorted by.
    pub(super) fn main_number(heading: &'static str, cell: impl Fn(&R) -> Markup + 'a) -> Self {
        Self::of_class("n strong", heading, cell)
    }

    pub(super) fn time(heading: &'static str, cell: impl Fn(&R) -> Markup + 'a) -> Self {
        Self::of_class("time", heading, cell)
    }

    pub(super) fn person(heading: &'static str, cell: impl Fn(&R) -> Markup + 'a) -> Self {
        Self::of_class("who", heading, cell)
    }

    fn of_class(
        class: &'static str,
        heading: &'static str,
        cell: impl Fn(&R) -> Markup + 'a,
    ) -> Self {
        let cell = Box::new(cell);
        Self {
            heading,
            class,
            cell,
        }
    }

    fn is_number(&self) -> bool {
        self.class.starts_with('n')
    }
}

/// Return the table of `rows`, whose first column is `name`. `class` is that of the table.
pub(super) fn row_table<R>(
    class: &str,
    rows: &[R],
    heading: &str,
    name: impl Fn(&R) -> Markup,
    columns: &[ListColumn<'_, R>],
) -> Markup {
    html! {
        table class=(class) cellpadding="4" {
            thead {
                tr {
                    th scope="col" { (heading) }
                    @for column in columns {
                        th scope="col" class=[column.is_number().then_some("n")] { (column.heading) }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" align="left" { (name(row)) }
                        @for column in columns {
                            td class=[(!column.class.is_empty()).then_some(column.class)] data-label=(column.heading) {
                                ((column.cell)(row))
                            }
                        }
                    }
                }
            }
        }
    }
}
