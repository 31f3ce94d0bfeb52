package runtimeapi

import (
	"encoding/json"
	"net/http"
)

// Assignment turns a spare process into one that runs a function. It is not
// part of Lambda's API; only our own Node bootstrap asks for it.
type Assignment struct {
	Dir   string            `json:"dir"`   // the task root
	Entry string            `json:"entry"` // the file to load, relative to it
	API   int               `json:"api"`   // 1 or 2, see function.API
	Name  string            `json:"name"`
	Env   map[string]string `json:"env"`
	// Awaited says that somebody waits for each response, so that it is sent as
	// soon as it is there; else it may go out with what ends the call.
	Awaited bool `json:"awaited,omitempty"`
}

// Assign gives the child its assignment as soon as it asks. Call it once.
func (s *Server) Assign(a Assignment) { s.assigned <- a }

// Unassign takes the assignment back. It reports false if the child has it already.
func (s *Server) Unassign() bool {
	select {
	case <-s.assigned:
		return true
	default:
		return false
	}
}

// Parked is closed when a spare has asked for its assignment: it is ready.
func (s *Server) Parked() <-chan struct{} { return s.parked }

// assignment answers GET /nightshift/assignment.
func (s *Server) assignment(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if !s.isUp {
		s.isUp = true
		close(s.parked)
	}
	s.mu.Unlock()
	select {
	case a := <-s.assigned:
		document, err := json.Marshal(a)
		if err != nil {
			panic(err) // strings and a number always encode
		}
		if !s.keep(w, document) {
			write(w, http.StatusOK, document)
		}
	case <-r.Context().Done():
	case <-s.closed.Done():
	}
}
