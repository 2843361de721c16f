//! The text of a script: what [`super::render`] has checked becomes shell, and nothing else is written here.
//!
//! It is kept to what POSIX `sh` has, and to `timeout`, `mktemp`, `mkfifo`, `head`, `tar`, `flock`, `id` as coreutils,
//! util-linux and busybox all have them. No command runs in front of what it depends on: whatever is missing ends the
//! batch before `begin` is written.

use crate::argv;
use crate::command::{Chunk, Command, Condition, Mode};
use crate::scrub;

use super::{Expect, FILE_LIMIT, KILL_AFTER, Lock, Options, RenderError, Sudo};

/// The secrets of a batch, each slot once, in the order of first use: `S0`, `S1`, …
pub(super) struct Secrets<'c, 's>(Vec<(&'c str, &'s [u8])>);

impl<'c, 's> Secrets<'c, 's> {
    pub(super) fn collect(commands: &'c [Command], options: &Options<'s>) -> Result<Self, RenderError> {
        let mut found: Vec<(&'c str, &'s [u8])> = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            for chunk in &command.stdin {
                let Chunk::Secret(slot) = chunk else { continue };
                if found.iter().any(|(known, _)| known == slot) {
                    continue;
                }
                let value = (options.secrets)(slot)
                    .ok_or_else(|| RenderError::NoSecret { command: place, slot: slot.clone() })?;
                scrub::check(slot, value)?;
                found.push((slot, value));
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, slot: &str) -> usize {
        // Every slot of the batch was collected before the first line was written.
        self.0.iter().position(|(known, _)| *known == slot).unwrap_or(usize::MAX)
    }
}

/// More than the script can need, so that its buffer never grows.
pub(super) fn room(commands: &[Command], secrets: &Secrets<'_, '_>, sudo: Sudo<'_>) -> usize {
    let password = if let Sudo::Password(password) = sudo { argv::quoted_len(password) } else { 0 };
    let fixed = 10 * 1024 + password;
    let values: usize = secrets.0.iter().map(|(_, value)| argv::quoted_len(value) + 32).sum();
    let each = |command: &Command| {
        let words: usize = command.argv.iter().map(|word| argv::quoted_len(word.as_bytes()) + 1).sum();
        let env: usize =
            command.env.iter().map(|(name, value)| name.len() + argv::quoted_len(value.as_bytes()) + 8).sum();
        let stdin: usize = command
            .stdin
            .iter()
            .map(|chunk| match chunk {
                Chunk::Bytes(bytes) => runs_of(bytes)
                    .map(|run| if run[0] == 0 { 16 + 4 * run.len() } else { 16 + argv::quoted_len(run) })
                    .sum(),
                Chunk::Secret(_) | Chunk::StdoutOf(_) => 96,
            })
            .sum();
        1024 + words + env + stdin + command.accepted.len() * 4
    };
    fixed + values + commands.iter().map(each).sum::<usize>()
}

/// The bytes in runs that are NUL, or hold none.
fn runs_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunk_by(|a, b| (*a == 0) == (*b == 0))
}

/// A script being written.
pub(super) struct Batch<'a> {
    pub(super) commands: &'a [Command],
    pub(super) expect: &'a Expect,
    pub(super) secrets: &'a Secrets<'a, 'a>,
    /// Root is to be had by [`Batch::sudo`].
    pub(super) asks: bool,
    pub(super) out: &'a mut Vec<u8>,
}

/// Runs as root in front of a command: reads past the line `$1`, and becomes the command.
const BEHIND: &str = "while IFS= read -r x || exit 97; do case $x in \"$1\") break;; esac; done; shift; exec \"$@\"";
/// The line behind the password and the spare lines.
const MARKER: &str = "-- stagecraft-net: what follows is for the command --";
/// Where `sudo` asks again though the password was good a moment ago, it gets these, and not what the command is given.
const SPARE_LINES: usize = 12;

/// Runs as root and holds the lock `$1` for `$2` until its standard input ends. 7 is the lock; `cat` waits for the end, without it.
/// The file says who held it, at which uptime it was let go, and at which it was taken. `$3` is the uptime of our own last
/// look, or `-`: where another one let go later, or died without a word, that look is too old. After such a death it is
/// noted that this was seen now, so that the next look is good enough. Whoever finds it held is told for how long.
const HOLDER: &str = "umask 077; u() { t=; read -r t x </proc/uptime; t=${t%.*}${t#*.}; }; \
                      r() { w= e= b=; { read -r w; read -r e; read -r b; } <\"$1\"; }; \
                      exec 7>>\"$1\" || exit 1; flock -n 7; case $? in 0) ;; \
                      1) r \"$1\"; u; case $b,$t in \"\",*|*,\"\"|0*|*,0*|*[!0-9,]*) ;; *) w=\"$w, for $(((t - b) / 100)) s\";; esac; \
                      printf \"busy %s\\n\" \"$w\"; exit 0;; *) exit 1;; esac; r \"$1\"; u; \
                      case $3,$w in -,*|*,|*,\"$2\") ;; *) case $e in \
                      \"\"|*[!0-9]*) printf \"%s\\n%s\\n\" \"$w\" \"$t\" >\"$1\"; printf \"moved %s\\n\" \"$w\"; exit 0;; \
                      *) if [ \"$e\" -gt \"$3\" ]; then printf \"moved %s\\n\" \"$w\"; exit 0; fi;; esac;; esac; \
                      printf \"%s\\n\\n%s\\n\" \"$2\" \"$t\" >\"$1\"; echo held; cat 7>&- >/dev/null 2>&1; u; printf \"%s\\n%s\\n\" \"$2\" \"$t\" >\"$1\"";

impl Batch<'_> {
    /// Writes all of it.
    pub(super) fn write(mut self, options: &Options<'_>) {
        self.prologue(options);
        match options.mode {
            Mode::Run => self.run(options),
            Mode::Probe => self.probe(),
        }
        // The function is called by the last byte, without a line end: `$(…)` would take that off.
        self.text("m");
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn lines(&mut self, lines: &[&str]) {
        for line in lines {
            self.text(line);
            self.text("\n");
        }
    }

    fn word(&mut self, word: &[u8]) {
        argv::quote_into(self.out, word);
    }

    /// Everything up to the first command. `3` is standard error; the shell's own messages about its children
    /// (`Killed`, with the line that it was running) go nowhere.
    fn prologue(&mut self, options: &Options<'_>) {
        self.lines(&["m() {", "set +xv; set -f; trap : PIPE; umask 022; cd /"]);
        let nonce = self.expect.nonce.as_str().to_owned();
        self.text("N=");
        self.text(&nonce);
        self.text("\n");
        self.lines(&[
            // Without it every secret would be an argument of a program.
            "case $(command -v printf) in printf) ;; *) echo; echo \"$N no-printf\"; echo; echo \"$N end\"; echo \"$N end\" >&2; return;; esac",
            "exec 3>&2 2>/dev/null </dev/null",
            // One frame on both streams. A stream that is gone makes `g` 1; nothing more is written to it.
            "p() { printf '\\n%s %s\\n' \"$N\" \"$1\" >&3 || { g=1; exec 3>/dev/null; }; printf '\\n%s %s\\n' \"$N\" \"$1\" || { g=1; exec >/dev/null; }; }",
            "u() { t=-; read -r t x </proc/uptime || t=-; }",
            "f=0 g=0 l=unlocked U=$(id -u) R='sudo -n --'",
            "case $U in 0) R=;; esac",
        ]);
        if self.asks {
            self.sudo(options.sudo);
        }
        if self.needs_place() || options.lock.is_some() {
            self.text("P=");
            self.word(options.scratch.as_bytes());
            self.text("\n");
            self.lines(&[
                "d=$(mktemp -d \"$P/stagecraft.XXXXXX\" || mktemp -d 2>&1) || { p \"no-place $d\"; p end; return; }",
                "trap 'rm -rf \"$d\"' EXIT",
            ]);
        }
        match options.mode {
            // Every command is bounded, and what checks and cleans up stands at the end: a polite signal stops the
            // `ok` commands, not those.
            Mode::Run => self.lines(&["trap 'g=1' HUP INT TERM"]),
            // A job may be about to make a file in it: under another name there is nothing to make it in.
            Mode::Probe => self.lines(&["trap 'mv \"$d\" \"$d.x\" && d=$d.x; exit 143' HUP INT TERM"]),
        }
        if let Some(lock) = options.lock {
            self.lock(&lock);
        }
        for (place, (_, value)) in self.secrets.0.iter().enumerate() {
            self.text(&format!("S{place}="));
            self.word(value);
            self.text("\n");
        }
        self.lines(&["u; p \"begin $U $l $t $SSH_CONNECTION\""]);
    }

    /// Finds out how root is to be had: `r` runs what follows it as root, `w` writes what must stand before its input.
    fn sudo(&mut self, sudo: Sudo<'_>) {
        let trial = format!("timeout -k {} -- 10 true", KILL_AFTER.as_secs());
        self.lines(&[
            "w() { :; }",
            "r() { $R \"$@\"; }",
            // Why not, on one line.
            "v() { s=; for y in $x; do s=\"$s $y\"; done; p \"no-sudo $1$s\"; p end; }",
            &format!("case $U in 0) ;; *) x=$(sudo -n -k -- {trial} 2>&1) || {{"),
        ]);
        if let Sudo::Password(password) = sudo {
            self.text("W=");
            self.word(password);
            self.text("\nM=");
            self.word(MARKER.as_bytes());
            self.text("\nG=");
            self.word(BEHIND.as_bytes());
            let spare = "\\n".repeat(SPARE_LINES);
            self.lines(&[
                "",
                &format!("x=$(printf '%s\\n' \"$W\" | sudo -S -k -p '' -- {trial} 2>&1) || {{ v refused; return; }}"),
                &format!("w() {{ printf '%s\\n{spare}%s\\n' \"$W\" \"$M\"; }}"),
                "r() { sudo -S -k -p '' -- sh -c \"$G\" sh \"$M\" \"$@\"; }",
            ]);
        } else {
            self.lines(&["v asks; return"]);
        }
        self.lines(&["};; esac"]);
    }

    /// What stands in front of a command for root.
    fn root(&self) -> &'static str {
        if self.asks { "r " } else { "$R " }
    }

    /// Starts the holder and waits for its word. `9` keeps it alive: closed for every child.
    fn lock(&mut self, lock: &Lock<'_>) {
        let bound = self
            .expect
            .commands
            .iter()
            .fold(60, |sum: u64, command| sum.saturating_add(command.timeout).saturating_add(KILL_AFTER.as_secs()));
        self.lines(&["mkfifo \"$d/a\" \"$d/b\" || { p 'no-place mkfifo failed'; p end; return; }"]);
        self.text(self.root());
        self.text(&format!("timeout -k {} -- {bound} sh -c ", KILL_AFTER.as_secs()));
        self.word(HOLDER.as_bytes());
        self.text(" sh ");
        self.word(lock.path.as_bytes());
        self.text(" ");
        self.word(lock.owner.as_bytes());
        self.text(&lock.looked.map_or_else(|| " -".to_owned(), |at| format!(" {at}")));
        self.lines(&[
            " <\"$d/a\" >\"$d/b\" 2>&1 3>&- &",
            "h=$!",
            if self.asks { "exec 9>\"$d/a\" 8<\"$d/b\"; w >&9; w=" } else { "exec 9>\"$d/a\" 8<\"$d/b\"; w=" },
            "while read -r x <&8; do case $x in held) l=locked; break;; busy|\"busy \"*) l=busy; w=${x#busy}; w=${w# }; break;; \"moved \"*) l=moved; w=${x#moved }; break;; ?*) w=$x;; esac; done",
            // Both ends are open, and nothing need be left behind if this shell is killed.
            if self.needs_place() { "exec 8<&-; rm -f \"$d/a\" \"$d/b\"" } else { "exec 8<&-; rm -rf \"$d\"; trap - EXIT" },
            "case $l in busy|moved) exec 9>&-; wait $h; p \"$l $w\"; p end; return;; esac",
        ]);
        let needs_root = if self.commands.iter().any(|command| command.as_root) { "*" } else { "unlocked0" };
        self.lines(&[&format!(
            "case $l$U in locked*) ;; {needs_root}) exec 9>&-; wait $h; p \"no-lock $U $w\"; p end; return;; esac"
        )]);
    }

    fn needs_place(&self) -> bool {
        self.expect.mode == Mode::Probe || self.expect.commands.iter().any(|command| !command.reads.is_empty())
    }

    /// Whether a later command reads this one's output.
    fn is_read(&self, place: usize) -> bool {
        self.expect.commands.iter().any(|command| command.reads.contains(&place))
    }

    /// Whether others may read what this command wrote: its exit was accepted, and its output is all there. Where a
    /// `sudo` that sets its own limits has undone ours, the size tells.
    fn judge(&mut self, place: usize) {
        if self.is_read(place) {
            let file = self.output_file(place);
            self.text(&format!("[ \"$(wc -c <\"{file}\")\" -le {FILE_LIMIT} ] || k=0; k{place}=$k\n"));
        }
    }

    /// The condition, after others, that all commands went well whose output this one reads.
    fn can_read(&self, place: usize) -> String {
        self.expect.commands[place].reads.iter().map(|of| format!(" && [ \"$k{of}\" = 1 ]")).collect()
    }

    /// Where standard output of a command goes that another one reads, and that of every probe.
    fn output_file(&self, place: usize) -> String {
        match self.expect.mode {
            Mode::Run => format!("$d/{place}"),
            Mode::Probe => format!("$d/{place}.o"),
        }
    }

    /// The statuses that are no failure, with a blank between.
    fn accepted(&self, place: usize) -> String {
        let accepted = &self.expect.commands[place].accepted;
        accepted.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
    }

    fn run(&mut self, options: &Options<'_>) {
        self.lines(&[
            // How a command ended: frames, and what it means for those after it. `k` is whether it was accepted.
            "e() { p \"$1 $r $a $t\"; case \" $2 \" in *\" $r \"*) k=1;; *) f=1 k=0;; esac; }",
            "s() { p \"$1 - - -\"; }",
        ]);
        for place in 0..self.commands.len() {
            let runs = match self.expect.commands[place].runs {
                Condition::Ok => "[ $f$g = 00 ]",
                Condition::Failed => "[ $f = 1 ]",
                Condition::Always => ":",
            };
            self.text(&format!("if {runs}{}; then u; a=$t\n", self.can_read(place)));
            if self.is_read(place) {
                let file = self.output_file(place);
                self.text(&format!("( ulimit -f {}; ", FILE_LIMIT / 512));
                self.call(place);
                self.text(&format!(" >\"{file}\" 2>&3 3>&- 9>&- ); r=$?; u\n"));
                self.text(&format!("head -c {FILE_LIMIT} \"{file}\" 3>&- 9>&-\n"));
            } else {
                self.call(place);
                self.text(" 2>&3 3>&- 9>&-; r=$?; u\n");
            }
            self.text(&format!("e {place} '{}'\n", self.accepted(place)));
            self.judge(place);
            self.text(&format!("else s {place}; fi\n"));
        }
        // The lock is free before `end` is seen, so that the next batch does not find us busy with ourselves.
        if options.lock.is_some() {
            self.lines(&["exec 9>&-; wait $h"]);
        }
        if self.needs_place() {
            self.lines(&["rm -rf \"$d\"; trap - EXIT"]);
        }
        self.lines(&["p end", "}"]);
    }

    fn probe(&mut self) {
        self.lines(&[
            "e() { echo \"$r $a $t\" >\"$d/$1.s\"; case \" $2 \" in *\" $r \"*) k=1;; *) k=0;; esac; }",
            "s() { echo '- - -' >\"$d/$1.s\"; }",
        ]);
        for chain in self.chains() {
            self.text(&format!("( ulimit -f {}\n", FILE_LIMIT / 512));
            for place in chain {
                self.text(&format!("if :{}; then u; a=$t\n", self.can_read(place)));
                self.call(place);
                self.text(&format!(" >\"$d/{place}.o\" 2>\"$d/{place}.e\" 3>&-; r=$?\n"));
                self.text(&format!("u; e {place} '{}'\n", self.accepted(place)));
                self.judge(place);
                self.text(&format!("else s {place}; fi\n"));
            }
            self.text(") >/dev/null 3>&- &\n");
        }
        self.lines(&["wait", "p tar", "tar -cf - -C \"$d\" .", "rm -rf \"$d\"; trap - EXIT", "p end", "}"]);
    }

    /// The probes in groups that go side by side: those that read each other's output stay together, in order.
    fn chains(&self) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..self.commands.len()).collect();
        for (place, command) in self.expect.commands.iter().enumerate() {
            for &of in &command.reads {
                let (from, to) = (group[place], group[of]);
                for member in &mut group {
                    if *member == from {
                        *member = to;
                    }
                }
            }
        }
        let mut chains: Vec<Vec<usize>> = vec![Vec::new(); group.len()];
        for (place, of) in group.into_iter().enumerate() {
            chains[of].push(place);
        }
        chains.retain(|chain| !chain.is_empty());
        chains
    }

    /// The command behind a pipe with its standard input. One that is given nothing has the script's own, `/dev/null`:
    /// without the pipe there is a process less for each thing that a look asks.
    ///
    /// Either way it is a process of its own that becomes the command: a shell that waits for its own redirected command
    /// writes `Killed` where that command writes.
    fn call(&mut self, place: usize) {
        let command = &self.commands[place];
        if command.stdin.is_empty() && !(self.asks && command.as_root) {
            self.text("( ");
            self.program(place);
            self.text(" )");
        } else {
            self.feed(place);
            self.program(place);
        }
    }

    /// What is written into the pipe in front of a command.
    fn feed(&mut self, place: usize) {
        let command = &self.commands[place];
        self.text(if self.asks && command.as_root { "{ w;" } else { "{ :;" });
        for chunk in &command.stdin {
            match chunk {
                Chunk::Bytes(bytes) => self.bytes(bytes),
                Chunk::Secret(slot) => {
                    let secret = self.secrets.place(slot);
                    self.text(&format!(" printf %s \"$S{secret}\";"));
                }
                Chunk::StdoutOf(of) => {
                    let file = self.output_file(*of as usize);
                    self.text(&format!(" cat \"{file}\" 3>&- 9>&-;"));
                }
            }
        }
        self.text(" } | ");
    }

    /// Bytes as `printf` writes them: quoted, but NUL, which no shell word can hold.
    fn bytes(&mut self, bytes: &[u8]) {
        for run in runs_of(bytes) {
            if run[0] == 0 {
                self.text(" printf '");
                for _ in run {
                    self.text("\\000");
                }
                self.text("';");
            } else {
                self.text(" printf %s ");
                self.word(run);
                self.text(";");
            }
        }
    }

    /// The command with what stands in front of it: always an external program, `timeout` within `sudo`.
    fn program(&mut self, place: usize) {
        let command = &self.commands[place];
        if command.as_root {
            self.text(self.root());
        }
        self.text(&format!("timeout -k {} -- {}", KILL_AFTER.as_secs(), self.expect.commands[place].timeout));
        if !command.env.is_empty() {
            self.text(" env --");
            for (name, value) in &command.env {
                self.text(" ");
                self.text(name);
                self.text("=");
                self.word(value.as_bytes());
            }
        }
        for word in &command.argv {
            self.text(" ");
            self.word(word.as_bytes());
        }
    }
}
