"""
Tests for :mod:`echochat.identity.files`.
"""

import contextlib
import errno
import fcntl
import os
import stat

from twisted.trial.unittest import SynchronousTestCase

from echochat.identity import files
from echochat.identity.files import (
    FileRefused,
    changing,
    create_secret,
    read_secret,
    read_trusted,
    replace_secret,
)
from tests.identity.doubles import write_file


class ReadingTests(SynchronousTestCase):
    """
    A secret that others know is none, and what others can change says nothing.
    """

    def test_secret_modes(self) -> None:
        """
        A secret is read when nobody but its owner can read or change it, whatever the owner may do.
        """
        for mode in (0o600, 0o400, 0o700):
            self.assertEqual(read_secret(write_file(self, b"x", mode)), b"x")
        for bit in (0o040, 0o020, 0o010, 0o004, 0o002, 0o001):
            path = write_file(self, b"x", 0o600 | bit)
            refused = self.assertRaises(FileRefused, read_secret, path)
            self.assertEqual(str(refused), f"{path} can be read or changed by others than its owner: chmod 600 {path}")

    def test_secret_of_root(self) -> None:
        """
        The group may read a secret of root's when we are not root, as systemd hands them to services; nothing more.
        """
        if os.geteuid() != 0:
            self.skipTest("only root can make files of root's")
        self.patch(os, "geteuid", lambda: 1000)
        self.assertEqual(read_secret(write_file(self, b"x", 0o640)), b"x")
        for mode in (0o660, 0o644, 0o642):
            self.assertRaises(FileRefused, read_secret, write_file(self, b"x", mode))

    def test_trusted_modes(self) -> None:
        """
        What anybody may know is read unless anybody can change it.
        """
        self.assertEqual(read_trusted(write_file(self, b"x", 0o664)), b"x")
        path = write_file(self, b"x", 0o646)
        refused = self.assertRaises(FileRefused, read_trusted, path)
        self.assertEqual(str(refused), f"{path} can be changed by everybody: chmod o-w {path}")

    def test_not_there(self) -> None:
        """
        What cannot be read is refused with the reason, in one line that names it.
        """
        for read in (read_secret, read_trusted):
            refused = self.assertRaises(FileRefused, read, "/nowhere/at/all")
            self.assertEqual(str(refused), "/nowhere/at/all cannot be read: No such file or directory")

    def test_not_a_file(self) -> None:
        """
        A folder and a pipe are refused at once; a pipe that nobody writes to does not make the server wait.
        """
        pipe = self.mktemp()
        os.mkfifo(pipe, 0o600)
        self.assertIn("not a regular file", str(self.assertRaises(FileRefused, read_secret, pipe)))
        folder = self.mktemp()
        os.mkdir(folder)
        self.assertIn("directory", str(self.assertRaises(FileRefused, read_secret, folder)))

    def test_too_large(self) -> None:
        """
        A file of any length does not fill the memory.
        """
        path = write_file(self, b"")
        os.truncate(path, files.MAX_FILE + 1)
        self.assertIn("larger than 16 MiB", str(self.assertRaises(FileRefused, read_secret, path)))
        os.truncate(path, files.MAX_FILE)
        self.assertEqual(len(read_secret(path)), files.MAX_FILE)


class WritingTests(SynchronousTestCase):
    """
    A secret is never readable by others, not for a moment, and never half there.
    """

    def test_create(self) -> None:
        """
        A new file is its owner's only, whatever the umask, and an old one is never overwritten.
        """
        path = self.mktemp()
        self.addCleanup(os.umask, os.umask(0))
        create_secret(path, b"one")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        refused = self.assertRaises(FileRefused, create_secret, path, b"two")
        self.assertEqual(str(refused), f"{path} exists already, and is not overwritten")
        self.assertEqual(read_secret(path), b"one")
        refused = self.assertRaises(FileRefused, create_secret, f"{path}/x", b"")
        self.assertEqual(str(refused), f"{path}/x cannot be made: Not a directory")

    def test_replace(self) -> None:
        """
        A file is made, and replaced with its mode kept; nothing else is left in the folder.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        path = f"{folder}/accounts"
        self.addCleanup(os.umask, os.umask(0))
        replace_secret(path, b"one")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        os.chmod(path, 0o640)
        replace_secret(path, b"two")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"two")
        self.assertEqual(os.listdir(folder), ["accounts"])

    def test_replace_keeps_the_owner(self) -> None:
        """
        Root can change what belongs to the service, which can read it afterwards.
        """
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        path = write_file(self, b"one")
        os.chown(path, 4321, 4322)
        replace_secret(path, b"two")
        status = os.stat(path)
        self.assertEqual((status.st_uid, status.st_gid), (4321, 4322))

    def test_replace_through_a_link(self) -> None:
        """
        A symbolic link stays one: what it points to is replaced.
        """
        path = write_file(self, b"one")
        link = self.mktemp()
        os.symlink(path, link)
        replace_secret(link, b"two")
        self.assertTrue(os.path.islink(link))
        self.assertEqual(read_secret(path), b"two")

    def test_replace_fails(self) -> None:
        """
        When the disk is full the old file is as it was, and nothing is left beside it.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        path = f"{folder}/accounts"
        replace_secret(path, b"one")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "fsync", full)
        refused = self.assertRaises(FileRefused, replace_secret, path, b"two")
        self.assertEqual(str(refused), f"{path} cannot be written: No space left on device")
        self.assertEqual(read_secret(path), b"one")
        self.assertEqual(os.listdir(folder), ["accounts"])

    def test_on_disk_before_it_is_seen(self) -> None:
        """
        The new content is synced before it gets the name, and the folder after: a power cut finds the old file or
        the new one.
        """
        path = write_file(self, b"one")
        calls: list[str] = []
        really_replace = os.replace

        def replace_and_tell(old: str, new: str) -> None:
            calls.append("replace")
            really_replace(old, new)

        self.patch(os, "fsync", lambda descriptor: calls.append(os.readlink(f"/proc/self/fd/{descriptor}")))
        self.patch(os, "replace", replace_and_tell)
        replace_secret(path, b"two")
        temporary, replace, folder = calls
        self.assertEqual((replace, folder), ("replace", os.path.dirname(path)))
        self.assertIn(f"/.{os.path.basename(path)}.", temporary)

    def test_one_at_a_time(self) -> None:
        """
        Who changes a file has it alone until done, also when that fails.
        """
        path = write_file(self, b"")

        def others_may() -> bool:
            descriptor = os.open(f"{path}.lock", os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                os.close(descriptor)
            return True

        with contextlib.suppress(ZeroDivisionError), changing(path):
            self.assertFalse(others_may())
            raise ZeroDivisionError
        self.assertTrue(others_may())
        self.assertEqual(stat.S_IMODE(os.stat(f"{path}.lock").st_mode), 0o600)

    def test_no_place_for_the_lock(self) -> None:
        """
        A folder that is not there is named.
        """

        def change() -> None:
            with changing("/nowhere/at/all"):
                raise AssertionError

        refused = self.assertRaises(FileRefused, change)
        self.assertEqual(str(refused), "/nowhere/at/all.lock cannot be made: No such file or directory")
