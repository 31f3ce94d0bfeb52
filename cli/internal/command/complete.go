package command

import (
	"context"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/spf13/cobra"
)

// What a shell offers at the Tab key. cobra writes the scripts for the shells
// (nightshift completion bash|zsh|fish|powershell), which call the program for
// words; the words come from the installation, and if that does not answer soon,
// there are none.

const (
	// completeLimit is how long somebody waits for words after the Tab key.
	completeLimit = time.Second
	// completeMost is how many invocations or deploys are offered.
	completeMost = 50
)

// offer lists words for an argument or a flag.
type offer func(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error)

// offered says what the arguments of a command are: the first ones, or with
// many, all of them.
type offered struct {
	offer offer
	many  bool
}

// folders are offered for the argument DIR.
func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// complete gives every command and flag what the shell offers. The two tables
// are all there is to know about it.
func (w World) complete(root *cobra.Command) {
	flags := map[string]offer{
		"site": offerSites, "function": offerFunctions(nil), "deploy": offerDeploys,
		"state":   words("queued", "running", "failed", "succeeded", "dead", "cancelled"),
		"scope":   words("read", "invoke", "deploy", "admin"),
		"context": words(environ.All, environ.Production, environ.DeployPreview, environ.BranchDeploy, environ.Dev, "branch:"),
	}
	scheduled := offered{offer: offerFunctions(func(kind string) bool { return kind == "scheduled" })}
	arguments := map[string]offered{
		"invoke":             {offer: offerFunctions(func(kind string) bool { return kind != "scheduled" })},
		"logs":               {offer: offerLogs},
		"cancel":             {offer: offerInvocations(invocation.Running, invocation.Queued, invocation.Failed)},
		"invocations show":   {offer: offerInvocations("")},
		"retry":              {offerInvocations(invocation.Dead), true},
		"replay":             {offerInvocations(invocation.Dead, invocation.Succeeded, invocation.Cancelled), true},
		"callbacks retry":    {offerCallbacks, true},
		"publish":            {offer: offerDeploys},
		"rollback":           {offer: offerDeploys},
		"schedules trigger":  scheduled,
		"schedules pause":    scheduled,
		"schedules resume":   scheduled,
		"schedules backfill": scheduled,
		"schedules ledger":   scheduled,
		"env get":            {offer: offerVariables},
		"env set":            {offer: offerVariables},
		"env unset":          {offer: offerVariables},
		"token revoke":       {offerTokens, true},
	}
	files := map[string]bool{"env import": true}

	root.InitDefaultCompletionCmd()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), root.Name()), " ")
		switch words, ok := arguments[name]; {
		case ok:
			cmd.ValidArgsFunction = w.words(words.offer, words.many)
		case strings.Contains(cmd.Use, "DIR"):
			cmd.ValidArgsFunction = folders
		case cmd.Runnable() && !files[name]:
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		for flag, words := range flags {
			if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
				// It is registered once, and there: it cannot fail.
				_ = cmd.RegisterFlagCompletionFunc(flag, w.words(words, true))
			}
		}
		for _, flag := range []string{"data", "functions"} {
			if cmd.Flags().Lookup(flag) != nil {
				_ = cmd.MarkFlagDirname(flag)
			}
		}
		if cmd.HasParent() && cmd.Parent().Name() == "completion" {
			cmd.Args = noArguments // cobra's own has no kind, and so another exit code
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unexpected(cmd, args[0])
	}
	return nil
}

// words makes a completion of an offer. Whatever goes wrong, a shell shows
// nothing: somebody who types is not told about errors.
func (w World) words(of offer, many bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		control, err := w.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer control.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completeLimit)
		defer cancel()
		site := defaultSite
		if flag := cmd.Flag("site"); flag != nil {
			site = flag.Value.String()
		}
		list, err := of(ctx, control, site)
		if err != nil {
			cobra.CompDebugln(err.Error(), false) // to where BASH_COMP_DEBUG_FILE says
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		given := map[string]bool{}
		for _, arg := range args {
			given[arg] = true
		}
		out := make([]cobra.Completion, 0, len(list))
		for _, c := range list {
			if word, _, _ := strings.Cut(c, "\t"); strings.HasPrefix(word, begun) && !given[word] {
				out = append(out, c)
			}
		}
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(out) == 1 && strings.HasSuffix(out[0], ":") { // branch: goes on
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return out, directive
	}
}

// words offers what never changes.
func words(list ...string) offer {
	return func(context.Context, *client.Client, string) ([]cobra.Completion, error) { return list, nil }
}

// described is a word with what a shell shows beside it.
func described(word string, about ...string) cobra.Completion {
	return cobra.CompletionWithDesc(word, strings.Join(strings.Fields(view.Clean(strings.Join(about, " "))), " "))
}

func offerSites(ctx context.Context, control *client.Client, _ string) ([]cobra.Completion, error) {
	list, err := control.Sites(ctx)
	var out []cobra.Completion
	for _, site := range list {
		out = append(out, described(site.Name, site.URL))
	}
	return out, err
}

func offerTokens(ctx context.Context, control *client.Client, _ string) ([]cobra.Completion, error) {
	list, err := control.Tokens(ctx)
	var out []cobra.Completion
	for _, t := range list {
		out = append(out, described(t.ID, t.Name))
	}
	return out, err
}

// offerFunctions offers functions of the kinds that are wanted; nil wants all.
func offerFunctions(wanted func(kind string) bool) offer {
	return func(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
		list, err := control.Functions(ctx, site)
		var out []cobra.Completion
		for _, f := range list {
			if wanted == nil || wanted(string(f.Kind)) {
				out = append(out, described(f.Name, string(f.Kind), f.Schedule, f.Timezone))
			}
		}
		return out, err
	}
}

// offerDeploys offers the newest deploys that are ready.
func offerDeploys(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
	list, err := control.Deploys(ctx, site, completeMost)
	var out []cobra.Completion
	for _, d := range list {
		if d.State != "ready" {
			continue
		}
		published := ""
		if d.Published {
			published = "published,"
		}
		out = append(out, described(d.ID, published, view.Ago(d.CreatedAt, time.Now())+",", d.Context, d.Branch, d.Title))
	}
	return out, err
}

// offerInvocations offers the newest invocations in the given states; "" is any.
func offerInvocations(states ...invocation.State) offer {
	return func(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
		var out []cobra.Completion
		for _, state := range states {
			list, err := control.Invocations(ctx, site, client.InvocationQuery{State: state, Limit: completeMost})
			if err != nil {
				return nil, err
			}
			for _, inv := range list.Invocations {
				out = append(out, described(inv.ID, inv.Function, string(inv.State)+",", view.Ago(inv.CreatedAt, time.Now())))
			}
		}
		return out, nil
	}
}

// offerLogs offers functions, and then invocations.
func offerLogs(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
	functions, err := offerFunctions(nil)(ctx, control, site)
	if err != nil && !fault.Is(err, fault.NotFound) { // nothing is published
		return nil, err
	}
	invocations, err := offerInvocations("")(ctx, control, site)
	return append(functions, invocations...), err
}

func offerCallbacks(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
	page, err := control.DeadCallbacks(ctx, site, "", completeMost)
	var out []cobra.Completion
	for _, d := range page.Callbacks {
		out = append(out, described(d.Invocation.ID, d.Invocation.Function, view.Ago(d.DiedAt, time.Now())))
	}
	return out, err
}

func offerVariables(ctx context.Context, control *client.Client, site string) ([]cobra.Completion, error) {
	list, err := control.Variables(ctx, site)
	var out []cobra.Completion
	for _, v := range list {
		secret := ""
		if v.IsSecret {
			secret = "secret"
		}
		out = append(out, described(v.Key, secret))
	}
	return out, err
}
