package runtimeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// write sends a JSON document. The length is always given: small clients,
// ours among them, then need not know chunked bodies.
func write(w http.ResponseWriter, status int, document []byte) {
	h := w.Header()
	h["Date"] = nil // nobody reads it
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(document)))
	w.WriteHeader(status)
	_, _ = w.Write(document)
}

func accept(w http.ResponseWriter) { write(w, http.StatusAccepted, []byte(`{"status":"OK"}`)) }

// render sends an error in the words of the real API.
func render(w http.ResponseWriter, status int, kind, message string) {
	document, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil {
		panic(err) // two strings always encode
	}
	write(w, status, document)
}

func forbid(w http.ResponseWriter, from, to phase) {
	render(w, http.StatusForbidden, "InvalidStateTransition",
		fmt.Sprintf("State transition from %s to %s failed for runtime. Error: State transition is not allowed", from, to))
}

func tooLarge(w http.ResponseWriter, limit int) {
	render(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
		fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", limit))
}
