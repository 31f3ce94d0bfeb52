// Package page runs a page of the documentation: what stands in it as a file is
// written, what stands in it as a command is run, and what stands behind a
// command is what it must print. A page in which nothing is left out by mistake
// is one whose code blocks all say what they are:
//
//   - ```console: commands after "$ ", each with what it prints. They are run in
//     one shell, from the first block of the page to the last one. A command goes
//     on in the next line after a backslash. "…" stands for any text, and alone
//     in a line for any lines. A command without lines behind it may print anything.
//   - any other block, after <!-- file NAME -->: the file of that name. It is
//     there before the commands of the next console block are run.
//   - any other block, after <!-- before -->: what people have before they read the
//     page. It is not run, as it is for another system.
package page

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Page is what can be run of a page.
type Page struct {
	steps []step
	// Before are the blocks of other systems, by their language.
	Before []Block
}

// Block is a code block.
type Block struct {
	Language, Text string
	Line           int // of the page
}

// step is a file or a command.
type step struct {
	line    int
	file    string // name; empty: a command
	text    string // of the file, or of the command
	prints  []string
	checked bool // prints is what it must print
}

var (
	fence = regexp.MustCompile("^```([a-z]*)$")
	mark  = regexp.MustCompile(`^<!-- (file|before)(?: (\S+))? -->$`)
)

// Parse reads a page, and says where a block does not say what it is.
func Parse(text string) (*Page, error) {
	p := &Page{}
	lines := strings.Split(text, "\n")
	marked, name := "", ""
	for i := 0; i < len(lines); i++ {
		if m := mark.FindStringSubmatch(lines[i]); m != nil {
			if (m[1] == "file") != (m[2] != "") {
				return nil, fmt.Errorf("line %d: %s", i+1, lines[i])
			}
			marked, name = m[1], m[2]
			continue
		}
		m := fence.FindStringSubmatch(lines[i])
		if m == nil {
			if strings.TrimSpace(lines[i]) != "" {
				marked = ""
			}
			continue
		}
		end := i + 1
		for end < len(lines) && lines[end] != "```" {
			end++
		}
		if end == len(lines) {
			return nil, fmt.Errorf("line %d: the block has no end", i+1)
		}
		block := lines[i+1 : end]
		whole := strings.Join(block, "\n") + "\n"
		switch {
		case m[1] == "console":
			steps, err := commands(block, i+2)
			if err != nil {
				return nil, err
			}
			p.steps = append(p.steps, steps...)
		case marked == "file":
			p.steps = append(p.steps, step{line: i + 1, file: name, text: whole})
		case marked == "before":
			p.Before = append(p.Before, Block{m[1], whole, i + 1})
		default:
			return nil, fmt.Errorf("line %d: the block is neither a console, nor is it marked with <!-- file NAME --> or <!-- before -->", i+1)
		}
		marked, i = "", end
	}
	return p, nil
}

// Section is a part of a page, with its title.
type Section struct{ Title, Text string }

// Sections are the parts of a page that begin with a second title (## …). Each
// is a page of its own.
func Sections(text string) []Section {
	var out []Section
	for part := range strings.SplitSeq("\n"+text, "\n## ") {
		if title, rest, ok := strings.Cut(part, "\n"); ok && title != "" {
			out = append(out, Section{title, rest})
		}
	}
	return out
}

// commands reads a console.
func commands(block []string, line int) ([]step, error) {
	var out []step
	for i := 0; i < len(block); i++ {
		command, ok := strings.CutPrefix(block[i], "$ ")
		if !ok {
			if len(out) == 0 {
				return nil, fmt.Errorf("line %d: a console begins with a command: $ …", line+i)
			}
			last := &out[len(out)-1]
			last.prints, last.checked = append(last.prints, block[i]), true
			continue
		}
		s := step{line: line + i, text: command}
		for strings.HasSuffix(s.text, `\`) && i+1 < len(block) {
			i++
			s.text += "\n" + block[i]
		}
		out = append(out, s)
	}
	return out, nil
}

// World is where a page is run.
type World struct {
	Dir string // the folder
	Env []string
	// Replace puts addresses of the world in the place of those of the page.
	Replace *strings.Replacer
}

// Run runs the page and returns what differs.
func (p *Page) Run(ctx context.Context, w World) error {
	var script bytes.Buffer
	nonce := fmt.Sprintf("@%d@", os.Getpid())
	for i, s := range p.steps {
		text := w.Replace.Replace(s.text)
		if s.file != "" {
			path := filepath.Join(w.Dir, ".files", strconv.Itoa(i))
			if err := write(path, text); err != nil {
				return err
			}
			fmt.Fprintf(&script, "mkdir -p \"$(dirname '%s')\" && cp '%s' '%s'\n", s.file, path, s.file)
			continue
		}
		fmt.Fprintf(&script, "echo '%s %d'\n{ %s\n} 2>&1 </dev/null\nended=$?; echo; echo \"%s end $ended\"\n", nonce, i, text, nonce)
	}
	path := filepath.Join(w.Dir, ".files", "script")
	if err := write(path, script.String()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", path)
	cmd.Dir, cmd.Env = w.Dir, w.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return p.check(string(out), nonce, w)
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// check compares what was printed.
func (p *Page) check(out, nonce string, w World) error {
	var current *step
	var printed []string
	seen := 0
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ours := strings.CutPrefix(lines.Text(), nonce+" ")
		if !ours {
			printed = append(printed, strings.TrimRight(lines.Text(), " \r"))
			continue
		}
		status, end := strings.CutPrefix(rest, "end ")
		if !end {
			n, err := strconv.Atoi(rest)
			if err != nil {
				return err
			}
			current, printed = &p.steps[n], nil
			continue
		}
		seen++
		text := strings.TrimRight(strings.Join(printed, "\n"), "\n")
		want := w.Replace.Replace(strings.TrimRight(strings.Join(current.prints, "\n"), "\n"))
		if status != "0" && !strings.HasPrefix(text, "error:") { // some show errors
			return fmt.Errorf("line %d: %s\nended with %s:\n%s", current.line, current.text, status, text)
		}
		if current.checked && !Like(text, want) {
			return fmt.Errorf("line %d: %s\nprinted\n%s\nand the page has\n%s", current.line, current.text, text, want)
		}
		if !current.checked && status != "0" {
			return fmt.Errorf("line %d: %s\nended with %s:\n%s", current.line, current.text, status, text)
		}
	}
	commands := 0
	for _, s := range p.steps {
		if s.file == "" {
			commands++
		}
	}
	if seen != commands {
		return fmt.Errorf("%d of %d commands were run:\n%s", seen, commands, out)
	}
	return lines.Err()
}

// Like says whether a text is what a page has, where "…" is any text, and alone
// in a line any lines. Spaces that only make columns do not count.
func Like(text, want string) bool {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for i, line := range strings.Split(want, "\n") {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:\n?[^\n]*)*?`)
			continue
		}
		if i > 0 {
			b.WriteString(`\n`)
		}
		parts := strings.Split(strings.Join(strings.Fields(line), " "), "…")
		for j, part := range parts {
			parts[j] = strings.ReplaceAll(regexp.QuoteMeta(part), " ", " +")
		}
		b.WriteString(" *" + strings.Join(parts, `[^\n]*`))
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String()).MatchString(text)
}
