//! Accepts SQL only if it is one SELECT that does not write, and whose syntax tree fits the stack.
//!
//! The parser, the planner and even `Drop` recurse into the tree, so a condition of fifty thousand `OR`s would overflow
//! the stack. The parser limits nested brackets. Chains of operators are counted here, in the tokens, before there is a
//! tree.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Select, Statement as SqlStatement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, ErrorKind, OrError, Result};

/// The limit of operators and keywords in one expression; `x = 1 OR …` takes two a term.
const MOST_OPERATORS: usize = 5_000;
/// The limit of tables, set operations and common table expressions in one query.
const MOST_LINKS: usize = 400;

/// Parse `sql`.
///
/// # Errors
/// [`ErrorKind::Configuration`]: the text is not one SELECT, writes, or is nested too deeply.
pub(super) fn parse(state: &SessionState, sql: &str) -> Result<Statement> {
    check_depth(sql)?;
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state
        .sql_to_statement(sql, &dialect)
        .or_error(ErrorKind::Configuration, "cannot parse the SQL")?;
    match &statement {
        Statement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)) => {
            match inner.visit(&mut WriteFinder) {
                ControlFlow::Continue(()) => Ok(statement),
                ControlFlow::Break(word) => Err(Error::new(
                    ErrorKind::Configuration,
                    format!("the SQL contains {word}, which writes, and only reading is possible"),
                )
                .hint("write one SELECT; `bitlake query --out FILE` keeps its rows")),
            }
        }
        _ => Err(Error::new(
            ErrorKind::Configuration,
            "the SQL is not one SELECT",
        )),
    }
}

/// A visitor that stops at the first clause or statement that writes.
struct WriteFinder;

impl Visitor for WriteFinder {
    type Break = &'static str;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<&'static str> {
        match select.into {
            Some(_) => ControlFlow::Break("SELECT … INTO"),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &SqlStatement) -> ControlFlow<&'static str> {
        ControlFlow::Break(match statement {
            SqlStatement::Query(_) => return ControlFlow::Continue(()),
            SqlStatement::Insert(_) => "INSERT",
            SqlStatement::Update(_) => "UPDATE",
            SqlStatement::Delete(_) => "DELETE",
            SqlStatement::Merge(_) => "MERGE",
            _ => "another statement",
        })
    }
}

/// Reject SQL whose syntax tree would exceed the limits.
///
/// # Errors
/// [`ErrorKind::Configuration`], with the count and the limit.
pub(super) fn check_depth(sql: &str) -> Result<()> {
    // The parser reports an invalid token.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let depth = depth(&tokens);
    let exceeded = |what: &str, n: usize, most: usize| {
        Error::new(
            ErrorKind::Configuration,
            format!("the SQL is nested too deeply: {n} {what}, and {most} are allowed"),
        )
        .hint("write a long condition as `IN (…)`, and join many values as a table: `VALUES (…), (…)`")
    };
    if depth.operators > MOST_OPERATORS {
        let what = "operators and keywords in one expression";
        return Err(exceeded(what, depth.operators, MOST_OPERATORS));
    }
    if depth.links > MOST_LINKS {
        let what = "joined, combined or common tables in one query";
        return Err(exceeded(what, depth.links, MOST_LINKS));
    }
    Ok(())
}

/// An upper bound for the depth of a syntax tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SqlDepth {
    operators: usize,
    links: usize,
}

/// The counts of one pair of brackets, up to the current token.
#[derive(Default)]
struct Bracket {
    /// The operators of the current list item.
    operators: usize,
    /// The depth of the deepest bracket in the current item.
    inner: usize,
    /// The depth of the deepest item before the current one.
    deepest: usize,
    links: usize,
    /// The links of the deepest nested query.
    below: usize,
    list: ListKind,
}

/// The meaning of a comma.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum ListKind {
    /// Starts an independent expression.
    #[default]
    Expressions,
    /// Joins another table.
    Tables,
    /// Starts another common table expression, which may read the earlier ones.
    CommonTables,
}

impl Bracket {
    fn next_item(&mut self) {
        self.deepest = self.deepest.max(self.operators + self.inner);
        self.operators = 0;
        self.inner = 0;
    }

    fn take(&mut self, inner: SqlDepth) {
        self.inner = self.inner.max(inner.operators);
        match self.list {
            ListKind::CommonTables => self.links += inner.links,
            _ => self.below = self.below.max(inner.links),
        }
    }

    fn close(mut self) -> SqlDepth {
        self.next_item();
        SqlDepth {
            operators: self.deepest,
            links: self.links + self.below,
        }
    }

    fn keyword(&mut self, keyword: Keyword) {
        self.operators += 1;
        match keyword {
            Keyword::WITH => self.list = ListKind::CommonTables,
            Keyword::FROM => self.list = ListKind::Tables,
            Keyword::SELECT => {
                self.list = ListKind::Expressions;
                self.links += 1;
                self.next_item();
            }
            Keyword::WHERE | Keyword::GROUP | Keyword::ORDER => self.list = ListKind::Expressions,
            Keyword::JOIN
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::MINUS => {
                self.links += 1;
                self.next_item();
            }
            _ => {}
        }
    }
}

fn depth(tokens: &[Token]) -> SqlDepth {
    let mut open = vec![Bracket::default()];
    for token in tokens {
        let is_inside = open.len() > 1;
        let Some(bracket) = open.last_mut() else {
            break;
        };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                bracket.operators += 1;
                open.push(Bracket::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace if is_inside => close(&mut open),
            Token::Comma => {
                bracket.links += usize::from(bracket.list != ListKind::Expressions);
                bracket.next_item();
            }
            Token::Word(word) if word.keyword != Keyword::NoKeyword => {
                bracket.keyword(word.keyword);
            }
            Token::Word(_) | Token::Number(..) | Token::Whitespace(_) | Token::EOF => {}
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {}
            _ => bracket.operators += 1,
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().map(Bracket::close).unwrap_or_default()
}

fn close(open: &mut Vec<Bracket>) {
    let inner = open.pop().map(Bracket::close).unwrap_or_default();
    if let Some(outer) = open.last_mut() {
        outer.take(inner);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;

    fn message_of(sql: &str) -> String {
        static STATE: LazyLock<SessionState> = LazyLock::new(|| SessionContext::new().state());
        match parse(&STATE, sql) {
            Ok(_) => String::new(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Configuration);
                error.to_string()
            }
        }
    }

    #[test]
    fn a_writing_clause_or_statement_is_rejected_anywhere() {
        for sql in [
            "SELECT 1 AS a INTO t",
            "SELECT 1 AS a INTO domain.t",
            "WITH x AS (SELECT 1 AS a INTO t) SELECT * FROM x",
            "SELECT 1 WHERE EXISTS (SELECT 1 INTO t)",
            "SELECT 1 UNION SELECT 1 INTO t",
            "WITH x AS (SELECT 1) INSERT INTO domain.repos SELECT * FROM x",
            "WITH x AS (SELECT 1) UPDATE domain.repos SET name = 'x'",
            "WITH x AS (SELECT 1) DELETE FROM domain.repos",
            "WITH x AS (SELECT 1) MERGE INTO domain.repos USING x ON true WHEN MATCHED THEN DELETE",
        ] {
            assert!(
                message_of(sql).contains("which writes"),
                "{sql}: {}",
                message_of(sql)
            );
        }
        for sql in [
            "INSERT INTO domain.repos VALUES (1)",
            "CREATE TABLE t AS SELECT 1",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "COPY (SELECT 1) TO 'x.parquet'",
            "EXPLAIN ANALYZE SELECT 1",
            "EXPLAIN ANALYZE INSERT INTO domain.repos VALUES (1)",
            "SET datafusion.execution.batch_size = 1",
            "DROP TABLE domain.repos",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "DESCRIBE domain.repos",
        ] {
            assert!(!message_of(sql).is_empty(), "{sql}");
        }
    }

    #[test]
    fn every_kind_of_deep_nesting_is_an_error() {
        let n = 20_000;
        let chain = |first: &str, link: &str| format!("SELECT {first}{}", link.repeat(n));
        let ctes: Vec<_> = (1..n)
            .map(|n| format!("c{n} AS (SELECT * FROM c{})", n - 1))
            .collect();
        for sql in [
            chain("1", " OR 1"),
            chain("1", " AND a = 1"),
            chain("1", " + 1"),
            chain("'a'", " || 'a'"),
            chain("1", "::int"),
            chain("1", " IS NULL"),
            chain("1", " IS DISTINCT FROM 1"),
            chain("a", "[1]"),
            chain("a", "(1)"),
            chain("a", ".b"),
            chain("cast(1 AS int", "[]"),
            chain("cast(1 AS ", "array<"),
            chain("1", " BETWEEN 1 AND 1"),
            chain("1", "!"),
            chain("1", " UNION SELECT 1, 2"),
            chain("1", " EXCEPT SELECT 1"),
            chain("1 FROM a", ", a"),
            chain("1 FROM a", " JOIN a ON true"),
            chain("1 FROM a", " CROSS JOIN a"),
            chain("CASE ", "WHEN a THEN b "),
            chain("", "CASE WHEN "),
            chain("", "NOT "),
            chain("", "NOT("),
            chain("", "- "),
            chain("", "("),
            chain("", "["),
            chain("", "{"),
            chain("", "((("),
            chain("", "(SELECT "),
            chain("* FROM ", "(SELECT * FROM "),
            chain("1 WHERE ", "EXISTS (SELECT 1 WHERE "),
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("WITH c0 AS (SELECT 1), {} SELECT 1", ctes.join(", ")),
        ] {
            let message = message_of(&sql);
            assert!(
                message.contains("nested too deeply") || message.contains("cannot parse the SQL"),
                "{}: {message}",
                &sql[..60]
            );
            assert!(message.len() < 1_000, "{} bytes", message.len());
        }
    }

    #[test]
    fn long_lists_are_accepted() {
        let n = 20_000;
        let list = |item: &str| vec![item; n].join(", ");
        for sql in [
            format!("SELECT a IN ({}) FROM domain.t", list("'x'")),
            format!("SELECT {}", list("a = 1 AND b")),
            format!("SELECT * FROM (VALUES {}) AS t", list("(1, 'a', -2)")),
            format!("SELECT 1 WHERE {}", vec!["a = 1"; 1_000].join(" OR ")),
            vec!["SELECT a, b FROM domain.t WHERE a = 1 AND b = 2"; 150].join(" UNION ALL "),
        ] {
            assert_eq!(message_of(&sql), "", "{}", &sql[..40]);
        }
    }

    #[test]
    fn depth_is_counted_per_list_item_and_per_query() {
        let of = |sql: &str| {
            let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap();
            let SqlDepth { operators, links } = depth(&tokens);
            (operators, links)
        };
        assert_eq!(of("a + b, c + d + e"), (2, 0));
        assert_eq!(of("a + (b + (c + d)), e"), (5, 0));
        assert_eq!(of("SELECT a FROM b, c JOIN d"), (1, 3));
        let one_reads_another = "WITH a AS (SELECT 1), b AS (SELECT 2 UNION SELECT 3) SELECT 4";
        assert_eq!(of(one_reads_another).1, 6);
        assert_eq!(of("SELECT (SELECT 1), (SELECT 2)").1, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_text_panics(sql in "(SELECT|WITH|FROM|INTO|CASE|JOIN|[a-z.\"'$]{1,4}|[-+*/(),;:\\[\\]{}=<>!@#~^|&?]|[0-9]{1,4}|\\PC| |\n){0,60}") {
            message_of(&sql);
        }
    }
}
