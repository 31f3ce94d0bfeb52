package command

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/nightshift/nightshift/cli/internal/tail"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

// invocationID is what the ID of an invocation looks like (a ULID), and the name
// of a function does not.
var invocationID = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// maxLast is how many invocations nightshift logs prints the logs of.
const maxLast = 200

// reading is one run of `nightshift logs`.
type reading struct {
	World
	site           string
	follow, asJSON bool
	last           int
}

func (w World) logs() *cobra.Command {
	r := reading{World: w}
	cmd := &cobra.Command{
		Use:   "logs [NAME|ID]",
		Short: "Print what invocations wrote, and with -f what they write",
		Long: `Print what invocations wrote: one by its ID, or the last ones of a function by its
name, or of the whole site.

With -f it goes on: with an ID until the invocation is finished, with a name as
long as it is not interrupted, with all invocations that come. With --json each
line is a JSON document of its own.

  nightshift logs send-email-background -f`,
		Args: arguments("[NAME|ID]"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			if r.last < 0 || r.last > maxLast {
				return fault.New(fault.Invalid, "--last is %d; it must be 0 to %d", r.last, maxLast)
			}
			name := append(args, "")[0]
			if invocationID.MatchString(name) {
				return r.one(ctx, control, name)
			}
			return r.many(ctx, control, name)
		}),
	}
	siteFlag(cmd, &r.site)
	cmd.Flags().BoolVarP(&r.follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().IntVar(&r.last, "last", 10, "how many of the last invocations are printed whole, without an ID")
	cmd.Flags().BoolVar(&r.asJSON, jsonFlagName, false, "print each line as a JSON document, and so a failure")
	return cmd
}

// one prints the log of an invocation as it is, or until it is finished.
func (r reading) one(ctx context.Context, control *client.Client, id string) error {
	style, cursor := view.StyleOf(r.Stdout), ""
	for {
		// The record is read first: lines that come between the two reads are
		// then printed, and not taken for the end.
		inv, err := control.Invocation(ctx, id)
		if err != nil {
			return err
		}
		lines, err := control.Logs(ctx, id, cursor)
		if err != nil {
			return err
		}
		for _, l := range lines {
			cursor = l.Cursor
			if r.asJSON {
				r.printLine(inv, l)
				continue
			}
			view.Line(r.Stdout, style, l)
		}
		switch {
		case len(lines) > 0 && r.follow:
			continue // perhaps there are more already
		case !r.follow || inv.State.Terminal():
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// logLine is the document of a line.
type logLine struct {
	Invocation string `json:"invocation"`
	Function   string `json:"function"`
	api.LogLine
}

func (r reading) printLine(inv api.Invocation, l api.LogLine) {
	encoder := json.NewEncoder(r.Stdout)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(logLine{inv.ID, inv.Function, l}) // a terminal that is gone is nobody's loss
}

// many prints the logs of the last invocations, and of those that come.
func (r reading) many(ctx context.Context, control *client.Client, name string) error {
	style := view.StyleOf(r.Stdout)
	t := &tail.Tail{
		Source: control, Site: r.site, Function: name, Poll: poll,
		Emit: func(inv api.Invocation, l api.LogLine) {
			if r.asJSON {
				r.printLine(inv, l)
				return
			}
			view.LineOf(r.Stdout, style, inv, l)
		},
		Trouble: func(err error) {
			fmt.Fprintf(r.Stderr, "%s %s\n", view.StyleOf(r.Stderr).Warn("warning:"), message(err))
		},
	}
	begun, err := t.Past(ctx, r.last)
	if err != nil {
		return err
	}
	if begun == 0 {
		if unknown := r.unknownFunction(ctx, control, r.site, name); unknown != "" {
			return fault.New(fault.NotFound, "site %s has no invocations of %s%s", r.site, name, unknown)
		}
	}
	if !r.follow {
		if begun == 0 && r.last > 0 {
			fmt.Fprintf(r.Stderr, "%s has not run yet; with -f its log is printed when it does\n", cmp.Or(name, "site "+r.site))
		}
		return nil
	}
	if view.StyleOf(r.Stderr) != view.Plain {
		fmt.Fprintln(r.Stderr, view.StyleOf(r.Stderr).Dim("waiting for more; Ctrl-C ends it"))
	}
	return t.Follow(ctx)
}
