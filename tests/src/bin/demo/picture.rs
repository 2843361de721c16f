//! A picture of a terminal, as SVG, drawn from what the product really wrote there. Not for: anything by hand.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::site::Site;
use lab::terminal::{Cell, Style, Terminal};

use crate::scene::{self, KEY};

const COLUMNS: u16 = 104;
const ROWS: u16 = 60;
/// Of one character, in pixels.
const CELL: (f32, f32) = (8.0, 18.0);
/// What ends each drawing of the progress.
const DRAWN: &str = "\x1b[J\r";

/// Writes it.
pub(crate) fn write(file: &Path) -> Result<()> {
    let site = scene::lay()?;
    let mut lines = Vec::new();
    let plan = run(&site, &["plan", "app-1", "app-2"])?;
    lines.extend(prompt("stagecraft-net plan app-1 app-2"));
    lines.extend(shown(&plan));
    let up = run(&site, &["up", "--allow", "disruptive"])?;
    lines.push(Vec::new());
    lines.extend(prompt("stagecraft-net up --allow disruptive"));
    lines.extend(meanwhile(&up)?);
    lines.push(vec![('⋮', Style { dim: true, ..Style::default() })]);
    lines.extend(shown(&up));
    std::fs::write(file, svg(&lines)).with_context(|| file.display().to_string())
}

fn run(site: &Site, words: &[&str]) -> Result<String> {
    let (_, written) = site.cli(words).env("TS_AUTHKEY", KEY).on_terminal((COLUMNS, ROWS), None)?;
    ensure!(!written.is_empty(), "nothing was written");
    Ok(written)
}

fn terminal() -> Terminal {
    Terminal::new(COLUMNS.into(), ROWS.into())
}

fn lines(terminal: &Terminal) -> Vec<Vec<Cell>> {
    terminal.lines().map(<[Cell]>::to_vec).collect()
}

fn shown(written: &str) -> Vec<Vec<Cell>> {
    let mut end = terminal();
    end.feed(written);
    lines(&end)
}

fn prompt(line: &str) -> Vec<Vec<Cell>> {
    shown(&format!("\x1b[2m$\x1b[0m \x1b[1m{line}\x1b[0m"))
}

/// The moment with the most to see of a run that goes on.
fn meanwhile(written: &str) -> Result<Vec<Vec<Cell>>> {
    let mut now = terminal();
    let mut best: (usize, Vec<Vec<Cell>>) = (0, Vec::new());
    let mut rest = written;
    while let Some(at) = rest.find(DRAWN) {
        let (frame, behind) = rest.split_at(at + DRAWN.len());
        now.feed(frame);
        rest = behind;
        let text = now.to_string();
        // A host that is changed is more to see than one that is looked at, and so is one that has ended.
        let ended = ["right", "changed", "failed"].iter().filter(|word| text.contains(**word)).count();
        let score: usize =
            text.lines().map(|line| if line.contains("looking") { 1 } else { 3 }).sum::<usize>() + 2 * ended;
        if score >= best.0 {
            best = (score, lines(&now));
        }
    }
    ensure!(best.0 > 0, "no progress was drawn");
    Ok(best.1)
}

fn svg(lines: &[Vec<Cell>]) -> String {
    let (width, height) = (f32::from(COLUMNS) * CELL.0 + 32.0, lines.len() as f32 * CELL.1 + 56.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"stagecraft-net on a terminal\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#14171d\"/>\n\
         <g fill=\"#3a4250\"><circle cx=\"20\" cy=\"18\" r=\"6\"/><circle cx=\"40\" cy=\"18\" r=\"6\"/><circle cx=\"60\" cy=\"18\" r=\"6\"/></g>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"13\" \
         fill=\"#e4e8ef\" xml:space=\"preserve\">\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let y = 50.0 + row as f32 * CELL.1;
        let mut from = 0;
        while from < line.len() {
            let style = line[from].1;
            let run: String = line[from..].iter().take_while(|cell| cell.1 == style).map(|cell| cell.0).collect();
            let count = run.chars().count();
            if !run.trim().is_empty() {
                // What is blank at the front moves the start, since blanks may be drawn of any width.
                let blank = run.chars().take_while(|c| *c == ' ').count();
                let x = 16.0 + (from + blank) as f32 * CELL.0;
                let run = run.trim();
                let wide = run.chars().count() as f32 * CELL.0;
                let _ = writeln!(
                    text,
                    "<text x=\"{x}\" y=\"{y}\" textLength=\"{wide}\"{}>{}</text>",
                    look(style),
                    escaped(run)
                );
            }
            from += count;
        }
    }
    text + "</g>\n</svg>\n"
}

fn look(style: Style) -> String {
    let mut look = match style.color {
        Some(31) => " fill=\"#ff8a80\"".to_owned(),
        Some(32) => " fill=\"#6fd39b\"".to_owned(),
        Some(33) => " fill=\"#f0b65a\"".to_owned(),
        _ if style.dim => " fill=\"#8b95a5\"".to_owned(),
        _ => String::new(),
    };
    if style.bold {
        look += " font-weight=\"bold\"";
    }
    look
}

fn escaped(text: &str) -> String {
    // Several blanks would be drawn as one.
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}")
}
