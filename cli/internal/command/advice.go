package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/near"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

// An error says what is wrong and what to do about it. What the control plane
// says is for all of its callers; here stands what somebody at a terminal does.

// adviceLimit bounds the requests that are made for an advice only.
const adviceLimit = 2 * time.Second

// advised adds to the error of a command what to do about it.
func (w World) advised(cmd *cobra.Command, control *client.Client, err error) error {
	ctx := cmd.Context()
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, client.ErrUnreachable):
		return fault.Wrap(err, fault.KindOf(err), "%s %s", sentence(message(err)), w.otherInstallation())
	case fault.Is(err, fault.Unauthorized):
		return fault.Wrap(err, fault.Unauthorized, "%s", w.otherToken())
	case fault.Is(err, fault.NotFound):
		if flag := cmd.Flag("site"); flag != nil {
			return w.missingSite(ctx, control, flag.Value.String(), err)
		}
	}
	return err
}

// otherInstallation says where the URL comes from that does not answer.
func (w World) otherInstallation() string {
	if w.Getenv("NIGHTSHIFT_API_URL") == "" {
		return "It is the default, since NIGHTSHIFT_API_URL is not set: nightshift dev starts an installation there, and export NIGHTSHIFT_API_URL=https://HOST/api/v1 names another one."
	}
	return "It is what NIGHTSHIFT_API_URL says."
}

// sentence ends a text with a full stop, if it has no end.
func sentence(text string) string {
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// otherToken says what is wrong with the token.
func (w World) otherToken() string {
	if w.Getenv("NIGHTSHIFT_TOKEN") == "" {
		return "the installation needs a token, and NIGHTSHIFT_TOKEN is not set; set it to the one that the gateway was started with, or one that nightshift token create has made"
	}
	return "the installation does not accept the token in NIGHTSHIFT_TOKEN, or no longer; set it to the one that the gateway was started with, or one that nightshift token create has made"
}

// missingSite is the error of a command whose site is not there, with the names
// that are near; or else err.
func (w World) missingSite(ctx context.Context, control *client.Client, name string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, adviceLimit)
	defer cancel()
	list, listErr := control.Sites(ctx)
	if listErr != nil {
		return err
	}
	var names []string
	for _, site := range list {
		if site.Name == name || site.ID == name {
			return err // something else is missing
		}
		names = append(names, site.Name)
	}
	return fault.Wrap(err, fault.NotFound, "there is no site %q; %s", name,
		didYouMean(near.To(name, names), "see nightshift sites, or make it: nightshift sites create "+name))
}

// unknownFunction says, behind the news that there is nothing of a function, that
// the function is not there either; empty if it is, or nobody knows.
func (w World) unknownFunction(ctx context.Context, control *client.Client, site, name string) string {
	if name == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, adviceLimit)
	defer cancel()
	list, err := control.Functions(ctx, site)
	if err != nil {
		return ""
	}
	var names []string
	for _, f := range list {
		names = append(names, f.Name)
	}
	if slices.Contains(names, name) {
		return ""
	}
	return fmt.Sprintf(", and no function %q: %s", name, didYouMean(near.To(name, names), "it has "+some(names)))
}

// didYouMean asks for the words that are near, if there are any, and goes on
// with the rest.
func didYouMean(words []string, rest string) string {
	if len(words) == 0 {
		return rest
	}
	return "did you mean " + strings.Join(words, " or ") + "? " + strings.ToUpper(rest[:1]) + rest[1:]
}

// maxSome is how many names an error lists.
const maxSome = 20

// some lists names, not too many of them.
func some(names []string) string {
	if len(names) <= maxSome {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxSome], ", "), len(names)-maxSome)
}

// commands are the names of the commands below one.
func commands(cmd *cobra.Command) []string {
	var out []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			out = append(out, sub.Name())
		}
	}
	return out
}
