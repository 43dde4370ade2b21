#!/bin/sh
# make-repo.sh DIR: a small git repository with something to find. Dates and names are fixed, so the commits always
# have the same hashes, and two reviews of it can be compared byte by byte.
# shellcheck disable=SC2016
set -eu
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.org GIT_COMMITTER_NAME=Ann GIT_COMMITTER_EMAIL=ann@example.org
git init -q -b main "$1" && cd "$1" && mkdir -p src/shop tools docs
note='FIX''ME' day=1
commit() {
    GIT_AUTHOR_DATE="2026-01-0${day}T12:00:00Z" && GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE day=$((day + 1))
    export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
    git add -A && git commit -q -m "$1"
}

printf '"""A shop."""\n' >src/shop/__init__.py
printf '"""Prices."""\n\n\ndef net(gross):\n    return gross / 1.2\n\n\ndef _round(x):\n    return x\n' >src/shop/price.py
printf '#!/bin/sh\nset -eu\necho release "$@"\n' >tools/release.sh
printf '# Shop\n\nA shop in two files.\n' >docs/index.md
commit 'Begin the shop'

printf 'class Cart:\n    """What a customer wants."""\n\n    def add(self, item):\n        # %s: no limit\n' "$note" >src/shop/cart.py
printf '        self.items.append(item)' >>src/shop/cart.py
printf 'def total(cart)\n    return 0\n' >src/shop/total.py
printf '#!/bin/sh\nif [ -n "$1" ]; then\n    echo "$1"\n' >tools/deploy.sh
ln -s index.md docs/README.md
commit 'Add the cart'

printf '# Notes\n\n%0130d\n\n%s: write this page' 0 "$note" >docs/notes.md
printf '<<<<<<< ours\none\n=======\ntwo\n>>>>>>> theirs\n' >'docs/odd "name", ümlaut.txt'
printf 'PNG\0\1\2' >docs/logo.png
printf '# Shop\n\nA shop, with a cart.\n' >docs/index.md
printf 'lib/\n' >.gitignore
commit 'Write documents'
