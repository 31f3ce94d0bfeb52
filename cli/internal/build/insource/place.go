package insource

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/go-sourcemap/sourcemap" // decodes what esbuild wrote, so that findings point into the author's file
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

// mapper leads from the stripped code back to the source.
type mapper struct {
	file      string
	source    []string // lines
	code      []byte   // what was parsed; the tree's bytes are pieces of it
	sourceMap []byte
}

// position is the source position of a piece of the code; nil is the file.
func (m *mapper) position(piece []byte) problem.Position {
	offset := m.offset(piece)
	if offset < 0 {
		return problem.Position{File: m.file}
	}
	before := string(m.code[:offset])
	line := strings.Count(before, "\n") + 1
	column := len(before) - (strings.LastIndex(before, "\n") + 1)
	return m.original(line, column)
}

// original maps a place in the code: line from 1, column from 0.
func (m *mapper) original(line, column int) problem.Position {
	at := problem.Position{File: m.file}
	consumer, err := sourcemap.Parse("", m.sourceMap)
	if err != nil {
		return at
	}
	_, _, sourceLine, sourceColumn, ok := consumer.Source(line, column)
	if !ok || sourceLine < 1 || sourceLine > len(m.source) {
		return at
	}
	at.Line, at.Column = sourceLine, sourceColumn+1
	at.Text = strings.TrimRight(m.source[sourceLine-1], "\r")
	return at
}

// offset finds where a piece of the code starts, or -1. The tree has no
// positions, but its bytes are the very bytes that were parsed, so their
// addresses tell. Comparing all of them takes minutes for a generated file.
func (m *mapper) offset(piece []byte) int {
	if len(piece) == 0 || len(m.code) == 0 {
		return -1
	}
	distance := uintptr(unsafe.Pointer(&piece[0])) - uintptr(unsafe.Pointer(&m.code[0])) // wraps around for what lies before
	if distance >= uintptr(len(m.code)) {
		return -1
	}
	return int(distance)
}

// parseError is the place that the parser stopped at.
func (m *mapper) parseError(err error) problem.Position {
	e, ok := errors.AsType[*parse.Error](err)
	if !ok {
		return problem.Position{File: m.file}
	}
	return m.original(e.Line, max(e.Column-1, 0))
}

func message(err error) string {
	if e, ok := errors.AsType[*parse.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// locate returns a piece if it is part of the code, else nil.
func (s *scope) locate(piece []byte) []byte {
	if s.mapper.offset(piece) < 0 {
		return nil
	}
	return piece
}

func orMark(mark, fallback []byte) []byte {
	if mark == nil {
		return fallback
	}
	return mark
}

// first is a piece of the code near the start of an expression, or nil.
// Names are last resort: all uses of a name share the bytes of its first one.
func (s *scope) first(expr js.IExpr) []byte {
	switch e := expr.(type) {
	case *js.LiteralExpr:
		return s.locate(e.Data)
	case *js.TemplateExpr:
		if len(e.List) > 0 {
			return s.locate(e.List[0].Value)
		}
		return s.locate(e.Tail)
	case *js.GroupExpr:
		return s.first(e.X)
	case *js.UnaryExpr:
		return s.first(e.X)
	case *js.BinaryExpr:
		return orMark(s.first(e.X), s.first(e.Y))
	case *js.DotExpr:
		if y, ok := e.Y.(*js.LiteralExpr); ok {
			return s.locate(y.Data)
		}
		if y, ok := e.Y.(js.LiteralExpr); ok {
			return s.locate(y.Data)
		}
		return s.first(e.X)
	case *js.CallExpr:
		if mark := s.first(e.X); mark != nil {
			return mark
		}
		for _, arg := range e.Args.List {
			if mark := s.first(arg.Value); mark != nil {
				return mark
			}
		}
	case *js.ArrayExpr:
		for _, element := range e.List {
			if mark := s.first(element.Value); mark != nil {
				return mark
			}
		}
	case *js.ObjectExpr:
		for _, p := range e.List {
			if _, mark, ok := propertyKey(p); ok && s.locate(mark) != nil {
				return mark
			}
		}
	}
	return nil
}

// unquote decodes a string or template literal; a bare name stays as it is.
func unquote(data []byte) string {
	text := string(data)
	if len(text) < 2 || !strings.ContainsRune("\"'`", rune(text[0])) {
		return text
	}
	text = text[1 : len(text)-1]
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		if text[0] != '\\' || len(text) == 1 {
			r, size := utf8.DecodeRuneInString(text)
			b.WriteRune(r)
			text = text[size:]
			continue
		}
		var decoded string
		decoded, text = unescape(text[1:])
		b.WriteString(decoded)
	}
	return b.String()
}

// unescape decodes what follows a backslash and returns the rest.
func unescape(text string) (decoded, rest string) {
	simple := map[byte]string{'n': "\n", 'r': "\r", 't': "\t", 'b': "\b", 'f': "\f", 'v': "\v", '0': "\x00", '\n': ""}
	if s, ok := simple[text[0]]; ok {
		return s, text[1:]
	}
	hex := func(digits, rest string) (string, string) {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return digits, rest
		}
		return string(rune(n)), rest
	}
	switch {
	case strings.HasPrefix(text, "u{") && strings.Contains(text, "}"):
		end := strings.Index(text, "}")
		return hex(text[2:end], text[end+1:])
	case text[0] == 'u' && len(text) >= 5:
		return hex(text[1:5], text[5:])
	case text[0] == 'x' && len(text) >= 3:
		return hex(text[1:3], text[3:])
	default:
		_, size := utf8.DecodeRuneInString(text)
		return text[:size], text[size:]
	}
}
