package main

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// distributions that the repository serves, as the official one names them.
var distributions = []string{"debian bookworm", "debian trixie", "ubuntu noble", "ubuntu jammy"}

const keyringPackage = "tailscale-archive-keyring"

// pack makes the web sites of one release: what pkgs.tailscale.com serves, with the package made of the programs in
// -bin and of the unit, the defaults and the maintainer's scripts in -module, and the install script in -site.
func pack(flags *flag.FlagSet, args []string) error {
	bin := flags.String("bin", "", "folder of tailscale and tailscaled")
	module := flags.String("module", "", "folder of the module of that release")
	site := flags.String("site", "", "folder of the module whose install script is served")
	version := flags.String("version", "", "version of the package")
	out := flags.String("out", "", "folder to make")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *bin == "" || *module == "" || *site == "" || *version == "" || *out == "" {
		return errors.New("-bin, -module, -site, -version and -out are all needed")
	}
	p := packer{out: *out, root: filepath.Join(*out, "pkgs.tailscale.com")}
	// An hour old, as every signature must be younger than its key, in whole seconds.
	p.config = &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA512, Time: func() time.Time { return time.Now().Add(-time.Hour) }}
	var err error
	if p.signer, err = openpgp.NewEntity("lab repository", "", "lab@invalid", p.config); err != nil {
		return err
	}
	if p.keyring, err = p.public(); err != nil {
		return err
	}
	if err := p.packages(*bin, *module, *version); err != nil {
		return err
	}
	for _, distribution := range distributions {
		system, codename, _ := strings.Cut(distribution, " ")
		if err := p.repository(system, codename); err != nil {
			return fmt.Errorf("%s: %w", distribution, err)
		}
	}
	script, err := os.ReadFile(filepath.Join(*site, "scripts/installer.sh"))
	if err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(*out, "tailscale.com/install.sh"), script),
		write(filepath.Join(*out, "tailscale.com/index.html"), []byte("the lab's tailscale.com\n")),
		write(filepath.Join(p.root, "index.html"), []byte("the lab's pkgs.tailscale.com\n")))
}

type packer struct {
	out, root string
	config    *packet.Config
	signer    *openpgp.Entity
	keyring   []byte
	debs      []string
	stanzas   []string
}

func (p *packer) public() ([]byte, error) {
	var b bytes.Buffer
	// Signs the identity anew, with the hash asked for: a newer apt takes no SHA-1.
	if err := p.signer.SerializePrivate(&bytes.Buffer{}, p.config); err != nil {
		return nil, err
	}
	err := p.signer.Serialize(&b)
	return b.Bytes(), err
}

func (p *packer) packages(bin, module, version string) error {
	keyringRoot := filepath.Join(p.out, "build/keyring")
	if err := write(filepath.Join(keyringRoot, "usr/share/keyrings", keyringPackage+".gpg"), p.keyring); err != nil {
		return err
	}
	if err := p.deb(keyringRoot, keyringPackage, "1.35.181", "all", "Description: GnuPG archive keys (lab)"); err != nil {
		return err
	}
	root := filepath.Join(p.out, "build/tailscale")
	for _, file := range []struct {
		from, to string
		mode     os.FileMode
	}{
		{filepath.Join(bin, "tailscale"), "usr/bin/tailscale", 0o755},
		{filepath.Join(bin, "tailscaled"), "usr/sbin/tailscaled", 0o755},
		{filepath.Join(module, "cmd/tailscaled/tailscaled.service"), "lib/systemd/system/tailscaled.service", 0o644},
		{filepath.Join(module, "cmd/tailscaled/tailscaled.defaults"), "etc/default/tailscaled", 0o644},
		{filepath.Join(module, "release/deb/debian.postinst.sh"), "DEBIAN/postinst", 0o755},
		{filepath.Join(module, "release/deb/debian.prerm.sh"), "DEBIAN/prerm", 0o755},
		{filepath.Join(module, "release/deb/debian.postrm.sh"), "DEBIAN/postrm", 0o755},
	} {
		content, err := os.ReadFile(file.from)
		if err != nil {
			return err
		}
		to := filepath.Join(root, file.to)
		if err := errors.Join(write(to, content), os.Chmod(to, file.mode)); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(root, "DEBIAN/conffiles"), []byte("/etc/default/tailscaled\n")); err != nil {
		return err
	}
	return p.deb(root, "tailscale", version, "amd64", "Depends: iptables\nRecommends: "+keyringPackage+" (>= 1.35.181), iproute2\n"+
		"Conflicts: tailscale-relay\nReplaces: tailscale-relay\nHomepage: https://www.tailscale.com\nDescription: The easiest way to use WireGuard (lab)")
}

// deb makes one package of a folder, and its stanza in the index.
func (p *packer) deb(root, name, version, architecture, rest string) error {
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Tailscale Inc <info@tailscale.com>\nSection: net\nPriority: extra\n%s\n",
		name, version, architecture, rest)
	if err := write(filepath.Join(root, "DEBIAN/control"), []byte(control)); err != nil {
		return err
	}
	file := filepath.Join(p.out, "build", fmt.Sprintf("%s_%s_%s.deb", name, version, architecture))
	if said, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", root, file).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, said)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p.debs = append(p.debs, file)
	p.stanzas = append(p.stanzas, fmt.Sprintf("%sFilename: pool/%s\nSize: %d\nMD5sum: %x\nSHA256: %x\n",
		control, filepath.Base(file), len(content), md5.Sum(content), sha256.Sum256(content)))
	return nil
}

func (p *packer) repository(system, codename string) error {
	base := filepath.Join(p.root, "stable", system)
	for _, deb := range p.debs {
		to := filepath.Join(base, "pool", filepath.Base(deb))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Link(deb, to); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	index := []byte(strings.Join(p.stanzas, "\n"))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(index); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	dist := filepath.Join(base, "dists", codename)
	release := fmt.Sprintf("Origin: Tailscale\nLabel: Tailscale\nSuite: %s\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: %s\n",
		codename, codename, time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	var md5s, sha256s strings.Builder
	for _, file := range []struct {
		path    string
		content []byte
	}{{"main/binary-amd64/Packages", index}, {"main/binary-amd64/Packages.gz", zipped.Bytes()}} {
		fmt.Fprintf(&md5s, " %x %d %s\n", md5.Sum(file.content), len(file.content), file.path)
		fmt.Fprintf(&sha256s, " %x %d %s\n", sha256.Sum256(file.content), len(file.content), file.path)
		if err := write(filepath.Join(dist, file.path), file.content); err != nil {
			return err
		}
	}
	release += "MD5Sum:\n" + md5s.String() + "SHA256:\n" + sha256s.String()
	var signed bytes.Buffer
	w, err := clearsign.Encode(&signed, p.signer.PrivateKey, &packet.Config{DefaultHash: crypto.SHA512})
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(release)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	var armored bytes.Buffer
	a, err := armor.Encode(&armored, openpgp.PublicKeyType, nil)
	if err != nil {
		return err
	}
	if _, err := a.Write(p.keyring); err != nil {
		return err
	}
	if err := a.Close(); err != nil {
		return err
	}
	source := fmt.Sprintf("# Tailscale packages for %s %s\ndeb [signed-by=/usr/share/keyrings/%s.gpg] https://pkgs.tailscale.com/stable/%s %s main\n",
		system, codename, keyringPackage, system, codename)
	return errors.Join(
		write(filepath.Join(dist, "Release"), []byte(release)),
		write(filepath.Join(dist, "InRelease"), signed.Bytes()),
		write(filepath.Join(base, codename, "installer-supported"), []byte("OK\n")),
		write(filepath.Join(base, codename+".noarmor.gpg"), p.keyring),
		write(filepath.Join(base, codename+".asc"), armored.Bytes()),
		write(filepath.Join(base, codename+".tailscale-keyring.list"), []byte(source)))
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
