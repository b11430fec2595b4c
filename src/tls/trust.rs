//! How clients are made to trust an authority: the commands for each system and runtime.
//! Text alone; runs nothing.
//! Start at [`STORES`].

use crate::fault::quoted;

/// A place where certificates of authorities are trusted.
#[derive(Debug, Clone, Copy)]
pub struct Store {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Lines to type or files to write; comments begin with `#`. `{cert}` stands for the certificate's path.
    pub commands: &'static str,
}

impl Store {
    /// The one of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        STORES.iter().find(|store| store.name == name)
    }

    /// The commands for a certificate at a path, which is quoted where a shell would take it apart.
    pub fn commands_for(&self, cert: &str) -> String {
        self.commands.replace("{cert}", &quoted(cert))
    }
}

/// All of them.
pub const STORES: &[Store] = &[
    Store {
        name: "debian",
        title: "Debian, Ubuntu",
        commands: "\
sudo cp {cert} /usr/local/share/ca-certificates/egret-ca.crt
sudo update-ca-certificates",
    },
    Store {
        name: "rhel",
        title: "RHEL, Fedora, CentOS, Rocky, Alma",
        commands: "\
sudo cp {cert} /etc/pki/ca-trust/source/anchors/egret-ca.pem
sudo update-ca-trust extract",
    },
    Store {
        name: "alpine",
        title: "Alpine",
        commands: "\
# As root; in an image without it, first: apk add ca-certificates
cp {cert} /usr/local/share/ca-certificates/egret-ca.crt
update-ca-certificates",
    },
    Store {
        name: "macos",
        title: "macOS",
        commands: "\
sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {cert}",
    },
    Store {
        name: "windows",
        title: "Windows",
        commands: "\
# In PowerShell, as administrator
Import-Certificate -FilePath {cert} -CertStoreLocation Cert:\\LocalMachine\\Root
# or
certutil -addstore -f Root {cert}",
    },
    Store {
        name: "firefox",
        title: "Firefox",
        commands: "\
# Windows and macOS: let it use the system's authorities. In policies.json, in the folder \"distribution\" beside the program:
{ \"policies\": { \"Certificates\": { \"ImportEnterpriseRoots\": true } } }
# Linux: in /etc/firefox/policies/policies.json, with an absolute path:
{ \"policies\": { \"Certificates\": { \"Install\": [\"/usr/local/share/ca-certificates/egret-ca.crt\"] } } }
# or for one profile (certutil is in libnss3-tools, or nss-tools):
certutil -A -d sql:\"$HOME/.mozilla/firefox/PROFILE\" -n \"Egret CA\" -t C,, -i {cert}",
    },
    Store {
        name: "chrome",
        title: "Chrome and Chromium on Linux",
        commands: "\
# certutil is in libnss3-tools, or nss-tools. On Windows and macOS, the system's authorities are used.
mkdir -p \"$HOME/.pki/nssdb\"
certutil -N -d sql:\"$HOME/.pki/nssdb\" --empty-password   # only where there is none yet
certutil -A -d sql:\"$HOME/.pki/nssdb\" -n \"Egret CA\" -t C,, -i {cert}",
    },
    Store {
        name: "java",
        title: "Java",
        commands: "\
# For every Java runtime that is installed; its password is \"changeit\" unless it was changed
sudo keytool -importcert -noprompt -cacerts -storepass changeit -alias egret-ca -file {cert}",
    },
    Store {
        name: "python",
        title: "Python",
        commands: "\
# These variables replace the authorities that are built in, so both go into one file
cat \"$(python3 -m certifi)\" {cert} > egret-bundle.pem
export SSL_CERT_FILE=\"$PWD/egret-bundle.pem\"        # ssl, urllib, httpx, aiohttp
export REQUESTS_CA_BUNDLE=\"$PWD/egret-bundle.pem\"   # requests
export PIP_CERT=\"$PWD/egret-bundle.pem\"             # pip; or: pip config set global.cert \"$PWD/egret-bundle.pem\"",
    },
    Store {
        name: "node",
        title: "Node.js",
        commands: "\
# Read when the process starts, and added to the authorities that are built in
export NODE_EXTRA_CA_CERTS={cert}",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_names_the_certificate_and_a_path_is_quoted_where_it_must_be() {
        for store in STORES {
            assert!(store.commands.contains("{cert}"), "{}", store.name);
        }
        let node = Store::find("node").unwrap();
        for (path, expected) in [
            ("/etc/egret/ca.pem", "CERTS=/etc/egret/ca.pem"),
            ("/my files/ca.pem", "CERTS='/my files/ca.pem'"),
            ("/a;b/it's.pem", r"CERTS='/a;b/it'\''s.pem'"),
        ] {
            assert!(node.commands_for(path).ends_with(expected), "{path}");
        }
    }
}
