"""Patch files as ``git am`` reads them: mails, split and taken apart as git does it."""
