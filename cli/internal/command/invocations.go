package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/spf13/cobra"
)

// maxList is how many entries of a list a command prints.
const maxList = 10_000

func (w World) invocations() *cobra.Command {
	var site, state string
	var q client.InvocationQuery
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "invocations",
		Short: "List the invocations of a site, newest first, or show one of them",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			if limit < 1 || limit > maxList {
				return fault.New(fault.Invalid, "--limit is %d; it must be 1 to %d", limit, maxList)
			}
			q.State = invocation.State(state)
			list := []api.Invocation{}
			for {
				q.Limit = min(limit-len(list), 200)
				page, err := control.Invocations(ctx, site, q)
				if err != nil {
					return err
				}
				list = append(list, page.Invocations...)
				if q.Cursor = page.NextCursor; q.Cursor == "" || len(list) >= limit {
					break
				}
			}
			if asJSON {
				return w.printJSON(api.InvocationList{Invocations: list, NextCursor: q.Cursor})
			}
			if len(list) == 0 {
				fmt.Fprintf(w.Stderr, "site %s has no such invocations%s\n", site, w.unknownFunction(ctx, control, site, q.Function))
				return nil
			}
			view.Invocations(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	siteFlag(cmd, &site)
	flags := cmd.Flags()
	flags.StringVar(&q.Function, "function", "", "only those of the function with this `name`")
	flags.StringVar(&state, "state", "", "only those in this `state`: queued, running, failed, succeeded, dead or cancelled")
	flags.StringVar(&q.Deploy, "deploy", "", "only those of the deploy with this `ID`")
	flags.IntVar(&limit, "limit", 50, "how many at most")
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(w.showInvocation())
	return cmd
}

func (w World) showInvocation() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one invocation: its state, its attempts, and its result",
		Args:  arguments("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			inv, err := control.Invocation(ctx, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(inv)
			}
			view.Invocation(w.Stdout, view.StyleOf(w.Stdout), inv, time.Now())
			for _, next := range nextSteps(inv) {
				fmt.Fprintln(w.Stderr, view.StyleOf(w.Stderr).Dim(next))
			}
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// nextSteps are the commands that somebody may want who has seen an invocation.
func nextSteps(inv api.Invocation) []string {
	var out []string
	if len(inv.Attempts) > 0 {
		out = append(out, "its log: nightshift logs "+inv.ID)
	}
	switch {
	case inv.State == invocation.Dead:
		out = append(out, "run it again: nightshift retry "+inv.ID+", or nightshift replay "+inv.ID+" for what is published now")
	case !inv.State.Terminal():
		out = append(out, "end it: nightshift cancel "+inv.ID)
	}
	return out
}

// atLeast checks that there are arguments, with an error of our kind.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fault.New(fault.Invalid, "%s needs %s; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
		}
		return nil
	}
}

func (w World) retry() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retry ID...",
		Short: "Run dead invocations again, on the deploy that they had",
		Long: `Run dead invocations again, as themselves: same ID, same deploy, and as many
attempts as a new one. To run them on what is published now, use replay.`,
		Args: atLeast("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			done := []api.Invocation{}
			for i, id := range args {
				inv, err := control.Retry(ctx, id)
				if err != nil {
					return behind(err, i, len(args), "retried")
				}
				done = append(done, inv)
				if !asJSON {
					fmt.Fprintf(w.Stdout, "%s is %s again\n", inv.ID, inv.State)
				}
			}
			if asJSON {
				return w.printJSON(done)
			}
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// behind is the error of one of several things, with how many went before.
func behind(err error, done, of int, what string) error {
	if done == 0 || of == 1 {
		return err
	}
	message, _ := fault.Public(err)
	return fault.Wrap(err, fault.KindOf(err), "%s (%d of %d were %s before)", message, done, of, what)
}

func (w World) replay() *cobra.Command {
	var site, function, state, deploy, from, to string
	var limit int
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Run the requests of finished invocations once more, on what is published",
		Long: `Run the requests of finished invocations once more, as other invocations, on
what is published now. Name them by ID, or all of a function by --function; the
oldest goes first. Those of a preview run on that preview.

  nightshift replay --function send-email-background --from 2h --dry-run`,
		Args: cobra.ArbitraryArgs,
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			if (len(args) > 0) == (function != "") {
				return fault.New(fault.Invalid, "nightshift replay needs IDs of invocations, or --function with the name of a function, and not both; see nightshift replay --help")
			}
			key := rand.Text() // so that a request that has to be sent again doubles nothing
			if len(args) > 0 {
				return w.replayEach(ctx, control, args, key, dryRun, asJSON)
			}
			in := api.ReplayInvocations{Function: function, State: state, Deploy: deploy, DryRun: dryRun}
			var err error
			if in.From, err = instantFlag("from", from); err != nil {
				return err
			}
			if in.To, err = instantFlag("to", to); err != nil {
				return err
			}
			return w.replayAll(ctx, control, site, in, limit, key, asJSON)
		}),
	}
	siteFlag(cmd, &site)
	flags := cmd.Flags()
	flags.StringVar(&function, "function", "", "all of the function with this `name`")
	flags.StringVar(&state, "state", string(invocation.Dead), "those in this `state`: dead, cancelled or succeeded")
	flags.StringVar(&deploy, "deploy", "", "only those of the deploy with this `ID`")
	flags.StringVar(&from, "from", "", "only those that were made then or later: an `instant` like 2030-01-31T08:00:00Z, or 2h for two hours ago")
	flags.StringVar(&to, "to", "", "only those that were made before: an `instant`, or 2h for two hours ago")
	flags.IntVar(&limit, "limit", 1000, "how many at most")
	flags.BoolVar(&dryRun, "dry-run", false, "list them and run none")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// instantFlag reads an instant, or how long ago it was; nil if it is empty.
func instantFlag(name, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		t := time.Now().Add(-ago)
		return &t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "--%s is %q; write an instant like 2030-01-31T08:00:00Z, or how long ago it was, like 2h", name, text)
	}
	return &t, nil
}

// replayEach replays invocations by ID.
func (w World) replayEach(ctx context.Context, control *client.Client, ids []string, key string, dryRun, asJSON bool) error {
	if dryRun {
		return fault.New(fault.Invalid, "--dry-run lists what --function would replay; the IDs are a list already")
	}
	made := []api.Replay{}
	for i, id := range ids {
		r, err := control.Replay(ctx, id, key)
		if err != nil {
			return behind(err, i, len(ids), "replayed")
		}
		made = append(made, r)
		if !asJSON {
			fmt.Fprintf(w.Stdout, "%s replays %s\n", r.ID, r.ReplayOf)
		}
	}
	if asJSON {
		return w.printJSON(made)
	}
	return nil
}

// replayAll replays what a filter lets through, request by request.
func (w World) replayAll(ctx context.Context, control *client.Client, site string, in api.ReplayInvocations, limit int, key string, asJSON bool) error {
	if limit < 1 {
		return fault.New(fault.Invalid, "--limit is %d; it must be 1 or more", limit)
	}
	all := api.Replays{DryRun: in.DryRun, Matched: []string{}, Replays: []api.Replay{}, Refusals: []api.Refusal{}}
	for len(all.Matched) < limit {
		in.Limit = min(limit-len(all.Matched), 1000)
		part, err := control.ReplayAll(ctx, site, in, key)
		if err != nil {
			return behind(err, len(all.Replays), len(all.Matched), "replayed")
		}
		all.Matched, all.Replays, all.Refusals = append(all.Matched, part.Matched...), append(all.Replays, part.Replays...), append(all.Refusals, part.Refusals...)
		if all.NextCursor = part.NextCursor; all.NextCursor == "" {
			break
		}
		in.Cursor = all.NextCursor
	}
	if asJSON {
		return w.printJSON(all)
	}
	if in.DryRun {
		for _, id := range all.Matched {
			fmt.Fprintln(w.Stdout, id)
		}
		fmt.Fprintf(w.Stderr, "%s would be replayed\n", view.Count(len(all.Matched), "invocation"))
		return nil
	}
	for _, r := range all.Replays {
		fmt.Fprintf(w.Stdout, "%s replays %s\n", r.ID, r.ReplayOf)
	}
	for _, r := range all.Refusals {
		fmt.Fprintf(w.Stderr, "%s %s\n", view.StyleOf(w.Stderr).Warn("not replayed:"), view.Clean(r.Message))
	}
	fmt.Fprintf(w.Stderr, "%s replayed, %d refused\n", view.Count(len(all.Replays), "invocation"), len(all.Refusals))
	if len(all.Refusals) > 0 {
		return errReported
	}
	return nil
}
