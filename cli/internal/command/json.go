package command

import (
	"encoding/json"
	"errors"

	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

// With --json a command prints one document on stdout, whether it succeeds or
// not. What people read goes to stderr.

const jsonFlagName = "json"

// interrupted is the kind of an end that the person asked for. It stands beside
// the kinds of package fault.
const interrupted = "interrupted"

// jsonFlag is --json.
func jsonFlag(cmd *cobra.Command, into *bool) {
	cmd.Flags().BoolVar(into, jsonFlagName, false, "print one JSON document, also for a failure")
}

// printJSON prints the document of a success.
func (w World) printJSON(document any) error {
	encoder := json.NewEncoder(w.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fault.Wrap(err, fault.Internal, "printing the result")
	}
	return nil
}

// detailed is an error with what a script may want to know beside its text.
type detailed struct {
	error
	problems []problem.Problem // of the site
	deploy   *api.Deploy       // how it was left
}

func (d detailed) Unwrap() error { return d.error }

// failure is the document of a failure.
type failure struct {
	Error failureError `json:"error"`
}

type failureError struct {
	Kind     string            `json:"kind"` // of package fault, or "interrupted"
	Message  string            `json:"message"`
	Problems []problem.Problem `json:"problems,omitempty"`
	Deploy   *leftDeploy       `json:"deploy,omitempty"`
}

// leftDeploy is what became of the deploy of a command that failed.
type leftDeploy struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Published bool   `json:"published"`
}

func (w World) printFailure(kind, text string, err error) {
	document := failure{Error: failureError{Kind: kind, Message: text}}
	if d, ok := errors.AsType[detailed](err); ok {
		document.Error.Problems = d.problems
		if d.deploy != nil {
			document.Error.Deploy = &leftDeploy{ID: d.deploy.ID, State: d.deploy.State, Published: d.deploy.Published}
		}
	}
	_ = w.printJSON(document) // the exit code tells the rest
}
