// Package command is the command line: it translates arguments and settings
// into calls, and what comes back into text and an exit code.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/near"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra" // sub-commands, flags, help and completion as people know them
)

const (
	defaultAPI = "http://127.0.0.1:8889/api/v1"
	// defaultSite is the gateway's site for all hosts that name none.
	defaultSite = "default"
)

// World is what surrounds a command.
type World struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Version        string
}

// errReported is an end that has already been explained on the terminal.
var errReported = errors.New("already reported")

// Run runs a command line, without the program's name, and returns the exit
// code. ctx ends when the person wants to stop.
func Run(ctx context.Context, args []string, w World) int {
	root := w.root()
	root.SetArgs(append([]string{}, args...)) // nil would mean those of the process
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	}
	kind, text, code := string(fault.KindOf(err)), message(err), fault.KindOf(err).ExitCode()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		kind, text, code = interrupted, interrupted, 130
		fmt.Fprintln(w.Stderr, text)
	} else {
		fmt.Fprintf(w.Stderr, "%s %s\n", view.StyleOf(w.Stderr).Bad("error:"), text)
	}
	// What stands behind a flag that is wrong is not read.
	if flag := cmd.Flags().Lookup(jsonFlagName); flag != nil && (flag.Value.String() == "true" || slices.Contains(args, "--"+jsonFlagName)) {
		w.printFailure(kind, text, err)
	}
	return code
}

// message is the text of an error for the person at the terminal, who is user
// and operator in one: the cause is shown where the kind hides it.
func message(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind == fault.Internal {
		return err.Error()
	}
	return e.Message
}

func (w World) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "nightshift",
		Short: "Background and scheduled functions on machines you own",
		Long: `Background and scheduled functions for Netlify- and Next.js-style sites, on machines you own.

  nightshift dev       run a site here, everything in one process
  nightshift deploy    send it to an installation

NIGHTSHIFT_API_URL is the installation's control plane (default ` + defaultAPI + `),
NIGHTSHIFT_TOKEN a token for it.

Exit codes: 0 done; 2 wrong usage or input; 3 refused as things stand, such as
by a lock; 4 the installation cannot be reached or is busy, and trying again
helps; 1 anything else that failed; 130 interrupted. With --json a failure is a
JSON document too: {"error": {"kind": "conflict", "message": "…"}}. Every command
but dev and completion has --json.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(w.Stdin)
	root.SetOut(w.Stdout)
	root.SetErr(w.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.New(fault.Invalid, "%v; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		w.dev(), w.deploy(), w.build(), w.functions(), w.invoke(), w.logs(), w.cancel(), w.version(),
		w.deploys(), w.publish(), w.rollback(), w.unpublish(), w.lock(), w.unlock(), w.sites(),
		w.env(), w.secretKey(), w.token(), w.audit(),
		w.invocations(), w.retry(), w.replay(), w.schedules(), w.callbacks(), w.workers(),
	)
	w.complete(root)
	return root
}

// arguments checks how many arguments there are, with an error of our kind.
// names are what the command takes; one in brackets may be left out.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return fault.New(fault.Invalid, "%s needs %s; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
			}
		}
		if len(args) > len(names) {
			return unexpected(cmd, args[len(names)])
		}
		return nil
	}
}

func unexpected(cmd *cobra.Command, arg string) error {
	if cmd.HasParent() {
		return fault.New(fault.Invalid, "%s does not take %q; see %s --help", cmd.CommandPath(), arg, cmd.CommandPath())
	}
	return fault.New(fault.Invalid, "there is no command %q; %s", arg, didYouMean(near.To(arg, commands(cmd)), "see "+cmd.CommandPath()+" --help"))
}

// client makes a client of the installation that the environment names.
func (w World) client() (*client.Client, error) {
	return client.New(cmp.Or(w.Getenv("NIGHTSHIFT_API_URL"), defaultAPI), w.Getenv("NIGHTSHIFT_TOKEN"), nil)
}

// online makes a command of a function that talks to the installation.
func (w World) online(run func(ctx context.Context, api *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		api, err := w.client()
		if err != nil {
			return err
		}
		defer api.Close()
		return w.advised(cmd, api, run(cmd.Context(), api, args))
	}
}

// siteFlag is --site.
func siteFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "site", defaultSite, "`name` of the site")
}

// logger takes what libraries and services log: text, warnings and worse
// unless NIGHTSHIFT_LOG_LEVEL says otherwise.
func (w World) logger() (*slog.Logger, error) {
	level := slog.LevelWarn
	if text := w.Getenv("NIGHTSHIFT_LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, fault.New(fault.Invalid, "NIGHTSHIFT_LOG_LEVEL is %q; it must be debug, info, warn or error", text)
		}
	}
	return slog.New(slog.NewTextHandler(w.Stderr, &slog.HandlerOptions{Level: level})), nil
}

// directory is the optional argument DIR.
func directory(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}
