package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/deploy"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	shared "github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/spf13/cobra"
)

// scheduleTimes is how many of its next times a schedule is shown with.
const scheduleTimes = 3

// deployment is one run of `nightshift deploy`.
type deployment struct {
	World
	api                 *client.Client
	dir, functions      string
	site, branch, title string
	prod, asJSON        bool
}

func (w World) deploy() *cobra.Command {
	d := deployment{World: w}
	cmd := &cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Build a site and send it to an installation",
		Long: `Build a site and send it to the installation that NIGHTSHIFT_API_URL names.

Without --prod the deploy is a draft: it has a URL of its own, and with --branch
that of the branch, and the site's callers and schedules stay with the deploy
that is published. With --prod it is published at once. A site with errors is
not deployed. Only what the installation lacks is uploaded. A deploy that fails
or is interrupted is given up and is never visible to anybody.

With --json the deploy is printed as one JSON document, as the API has it, with
the "warnings" of the build. A failure is {"error": {"kind", "message"}}, with
the "problems" of the site, or the "deploy" and how it was left.`,
		Args: arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.api, err = w.client(); err != nil {
				return err
			}
			defer d.api.Close()
			d.dir = directory(args)
			return w.advised(cmd, d.api, d.run(cmd.Context()))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&d.prod, "prod", false, "publish the deploy: from then on the site's callers and schedules get it")
	flags.StringVar(&d.branch, "branch", "", "`name` of the branch; the newest deploy of it is at <branch>--<site>")
	flags.StringVar(&d.title, "title", "", "`text` that says what is in it, for lists of deploys")
	siteFlag(cmd, &d.site)
	functionsFlag(cmd, &d.functions)
	jsonFlag(cmd, &d.asJSON)
	return cmd
}

func (d deployment) run(ctx context.Context) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	result, err := d.build(ctx)
	if err != nil {
		return err
	}
	done, err := d.send(ctx, result)
	if err != nil {
		return err
	}
	warnings := slices.DeleteFunc(slices.Clone(result.Problems), func(p problem.Problem) bool { return !p.Warning })
	if d.asJSON {
		return d.printJSON(struct {
			api.Deploy
			Warnings []problem.Problem `json:"warnings"`
		}{done, append([]problem.Problem{}, warnings...)})
	}
	d.print(done, len(warnings))
	return nil
}

// check asks before anything is built whether the site is there and may be
// published. The server asks again.
func (d deployment) check(ctx context.Context) error {
	site, err := d.api.Site(ctx, d.site)
	if err != nil {
		return err
	}
	if d.prod && site.Locked {
		return fault.New(fault.Conflict, "site %s is locked to deploy %s, so nothing else is published on it. To publish, unlock it first: nightshift unlock --site %s; for a preview, deploy without --prod", d.site, site.DeployID, d.site)
	}
	return nil
}

func (d deployment) build(ctx context.Context) (*build.Result, error) {
	result, err := build.Build(ctx, build.Options{Root: d.dir, Directory: d.functions, Contexts: contexts(d.prod, d.branch), Log: d.progress})
	if err != nil {
		return nil, err
	}
	view.Problems(d.Stderr, view.StyleOf(d.Stderr), result.Problems)
	if n := problem.Errors(result.Problems); n > 0 {
		return nil, detailed{fault.New(fault.Invalid, "the site has %s; nothing was deployed", view.Count(n, "error")), result.Problems, nil}
	}
	if len(result.Functions)+len(result.Files)+len(result.Redirects) > 0 {
		return result, nil
	}
	if result.Publish != "" {
		return nil, fault.New(fault.NotFound, "there are neither functions in %s nor files in %s; put some there", result.Directory, result.Publish)
	}
	return nil, fault.New(fault.NotFound, "there are no functions in %s; put one there, for example hello.mjs", result.Directory)
}

// send deploys what was built, and says what came of it, also if that is nothing.
func (d deployment) send(ctx context.Context, result *build.Result) (api.Deploy, error) {
	var told deploy.Uploads
	terminal := d.Stderr
	if d.asJSON {
		terminal = io.Discard
	}
	bar := view.NewBar(terminal, "Uploading", 0)
	done, err := deploy.Run(ctx, d.api, deploy.Request{
		Site: d.site, Branch: d.branch, Title: d.title, Draft: !d.prod, Production: d.prod,
		Functions: result.Functions, Files: result.Files, Redirects: result.Redirects, Headers: result.Headers,
		Uploading: func(u deploy.Uploads) {
			told, bar = u, view.NewBar(terminal, "Uploading", u.Bytes)
		},
		Sent: func(n int64) { bar.Add(n) },
	})
	bar.End()
	if err == nil {
		fmt.Fprintln(d.Stderr, view.StyleOf(d.Stderr).Dim(uploaded(result, told)))
		return done, nil
	}
	if done.ID == "" {
		return done, err
	}
	fmt.Fprintln(d.Stderr, left(done))
	return done, detailed{err, nil, &done}
}

// uploaded is the one line about the uploads.
func uploaded(result *build.Result, told deploy.Uploads) string {
	var parts []string
	if len(result.Functions) > 0 {
		parts = append(parts, fmt.Sprintf("%s, %s uploaded", view.Count(len(result.Functions), "function"), view.Count(told.Artifacts, "artifact")))
	}
	if result.Publish != "" {
		parts = append(parts, fmt.Sprintf("%s, %d uploaded", view.Count(len(result.Files), "static file"), told.Files))
	}
	if rules := view.Rules(len(result.Redirects), len(result.Headers)); rules != "" {
		parts = append(parts, rules)
	}
	return strings.Join(append(parts, view.Bytes(told.Bytes)), "; ")
}

// left says how a deploy was left that the command did not bring to its end.
func left(d api.Deploy) string {
	switch shared.State(d.State) {
	case shared.Failed:
		return fmt.Sprintf("deploy %s was given up; nothing of it is visible", d.ID)
	case shared.Ready:
		if d.Published {
			return fmt.Sprintf("deploy %s was complete by then, and is published; nightshift rollback --site %s goes back", d.ID, d.Site)
		}
		return fmt.Sprintf("deploy %s was complete by then, and is at %s", d.ID, d.DeployURL)
	default:
		return fmt.Sprintf("deploy %s stays incomplete, which nobody sees, and is removed later", d.ID)
	}
}

// print shows a deploy that is ready.
func (d deployment) print(done api.Deploy, warnings int) {
	style := view.StyleOf(d.Stdout)
	if len(done.Functions) > 0 {
		view.Functions(d.Stdout, style, done.Functions, time.Time{})
		fmt.Fprintln(d.Stdout)
	}
	if slices.ContainsFunc(done.Functions, func(f api.Function) bool { return f.Kind == function.Scheduled }) {
		view.Schedules(d.Stdout, style, done.Functions, time.Now(), scheduleTimes)
		if !done.Published {
			fmt.Fprintln(d.Stdout, style.Dim("  They fire once the deploy is published."))
		}
		fmt.Fprintln(d.Stdout)
	}
	permalink := cmp.Or(done.Links.Permalink, done.DeployURL)
	line := func(label, text string) { fmt.Fprintf(d.Stdout, "  %s %s\n", style.Dim(label), text) }
	switch {
	case done.Published:
		fmt.Fprintf(d.Stdout, "%s %s is published at %s\n", style.Good("Deploy"), done.ID, done.URL)
	case d.prod:
		fmt.Fprintf(d.Stdout, "%s %s is ready, and NOT published: %s\n", style.Warn("Deploy"), done.ID, withheld(done))
	case d.branch != "":
		fmt.Fprintf(d.Stdout, "%s %s is the newest one of branch %s, at %s\n", style.Good("Deploy"), done.ID, d.branch, done.DeployURL)
	default:
		fmt.Fprintf(d.Stdout, "%s %s is a draft at %s\n", style.Good("Deploy"), done.ID, permalink)
	}
	if d.prod && done.DeployURL != permalink {
		line("branch   ", done.DeployURL)
	}
	if d.prod || d.branch != "" {
		line("permalink", permalink)
	}
	if !done.Published {
		line("publish  ", "nightshift publish "+done.ID+onSite(d.site))
	}
	if warnings > 0 {
		line("warnings ", fmt.Sprintf("%d, see above", warnings))
	}
}

// withheld says why a deploy that was to be published is not, and what to do.
func withheld(d api.Deploy) string {
	switch d.Withheld {
	case "locked":
		return fmt.Sprintf("site %s was locked meanwhile. Unlock it (nightshift unlock%s) and publish the deploy", d.Site, onSite(d.Site))
	case "older":
		return "a deploy that was begun later is published already. Publish this one if it is the one that you want"
	default:
		return "another deploy was published after it"
	}
}

// onSite is the flag that names a site in a command that is suggested.
func onSite(site string) string {
	if site == defaultSite || site == "" {
		return ""
	}
	return " --site " + site
}
