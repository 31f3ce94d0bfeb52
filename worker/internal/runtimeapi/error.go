package runtimeapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/nightshift/nightshift/shared/invocation"
)

// Bounds of what is kept of an error report, in bytes.
const (
	maxMessage = 8 << 10
	maxStack   = 32 << 10
)

// invocationError answers POST /2018-06-01/runtime/invocation/{id}/error.
func (s *Server) invocationError(w http.ResponseWriter, r *http.Request) {
	failure := readFailure(r)
	if s.noteLate(r.PathValue("id"), failure) {
		forbid(w, answered, answered)
		return
	}
	x := s.begin(w, r.PathValue("id"))
	if x == nil {
		return
	}
	x.settle(&Problem{outcomeOf(failure), failure})
	s.finish()
	accept(w)
}

// unsupportedValue is the type under which a bootstrap, ours and Netlify's own,
// reports a v2 function that returned something other than a Response. The
// runtime API has no other place for it.
const unsupportedValue = "NetlifyUserError"

// outcomeOf tells a function that threw from one that returned nonsense.
func outcomeOf(failure invocation.Failure) invocation.Outcome {
	if failure.Type == unsupportedValue {
		return invocation.BadResponse
	}
	return invocation.Error
}

// noteLate keeps an error that comes after the response, from a promise that
// outlived it for example: the real API has no place for it, the record has.
func (s *Server) noteLate(id string, failure invocation.Failure) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != answered || s.current.inv.ID != id {
		return false
	}
	s.current.fail(&Problem{invocation.Error, failure})
	return true
}

// initError answers POST /2018-06-01/runtime/init/error.
func (s *Server) initError(w http.ResponseWriter, r *http.Request) {
	failure := readFailure(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != starting {
		forbid(w, s.phase, starting)
		return
	}
	if s.initFailure == nil {
		s.initFailure = &Problem{invocation.InitError, failure}
		close(s.initFailed)
	}
	accept(w)
}

// readFailure reads an error report as far as there is one.
func readFailure(r *http.Request) invocation.Failure {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxError))
	discard(r.Body)
	return parseFailure(body, r.Header.Get(errorTypeHeader))
}

// trailerProblem is the error that a streamed response ended with, or nil.
func trailerProblem(trailer http.Header) *Problem {
	kind := trailer.Get(errorTypeHeader)
	if kind == "" {
		return nil
	}
	body, err := base64.StdEncoding.DecodeString(trailer.Get(errorBodyHeader))
	if err != nil {
		body = nil
	}
	return &Problem{invocation.Error, parseFailure(body, kind)}
}

// parseFailure reads {errorType, errorMessage, stackTrace}. Runtimes differ in
// the stack: a list of lines, or a list of frames.
func parseFailure(body []byte, kind string) invocation.Failure {
	var report struct {
		Type    string            `json:"errorType"`
		Message string            `json:"errorMessage"`
		Stack   []json.RawMessage `json:"stackTrace"`
		Trace   []json.RawMessage `json:"trace"`
	}
	if err := json.Unmarshal(body, &report); err != nil && report.Message == "" {
		report.Message = strings.TrimSpace(string(body))
	}
	failure := invocation.Failure{Type: report.Type, Message: cut(report.Message, maxMessage)}
	if failure.Type == "" {
		failure.Type = kind
	}
	if failure.Type == "" {
		failure.Type = "Error"
	}
	if report.Stack == nil {
		report.Stack = report.Trace
	}
	var lines []string
	for _, raw := range report.Stack {
		lines = append(lines, frame(raw))
	}
	failure.Stack = cut(strings.Join(lines, "\n"), maxStack)
	return failure
}

func frame(raw json.RawMessage) string {
	var line string
	if json.Unmarshal(raw, &line) == nil {
		return line
	}
	var f struct {
		Path  string `json:"path"`
		Line  int    `json:"line"`
		Label string `json:"label"`
	}
	if json.Unmarshal(raw, &f) == nil && f.Path != "" {
		return fmt.Sprintf("    at %s (%s:%d)", f.Label, f.Path, f.Line)
	}
	return string(raw)
}

func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "…"
}
