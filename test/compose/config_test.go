package compose

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli" // what Compose 2 reads its files with
	"github.com/nightshift/nightshift/test/harness"
)

// profiles are those of docker-compose.yml.
var profiles = []string{"cli", "monitoring"}

// TestFileOfCompose2 reads docker-compose.yml as Compose 2 does, whichever Compose is here.
func TestFileOfCompose2(t *testing.T) {
	t.Parallel()
	options, err := cli.NewProjectOptions([]string{filepath.Join(harness.Root(), "docker-compose.yml")},
		cli.WithName("nightshift"), cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range project.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q; want loopback only", service.Name, port.Published, port.HostIP)
			}
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd) > 0 ||
			!slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) || service.Privileged {
			t.Errorf("%s may do more than it needs", service.Name)
		}
		// A folder that is missing is made by Docker, as root's, without a word.
		for _, volume := range service.Volumes {
			if matches, err := filepath.Glob(volume.Source); volume.Type == "bind" && len(matches) == 0 {
				t.Errorf("%s mounts %s, which is not there: %v", service.Name, volume.Source, err)
			}
		}
	}
}

// TestFileOfThisCompose has the program that is installed judge the file, with all profiles.
func TestFileOfThisCompose(t *testing.T) {
	p := &project{name: "nightshift-config"}
	p.program = program(t.Context())
	args := append(slices.Clone(p.program), "--profile", profiles[0], "--profile", profiles[1], "config", "--quiet")
	if out, err := p.run(t.Context(), args); err != nil {
		t.Error(err, out)
	}
}

// program is the Compose that is installed: the plugin, or the older program.
func program(ctx context.Context) []string {
	if exec.CommandContext(ctx, "docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	return []string{"docker-compose"}
}
