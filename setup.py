"""The study files of `studies/` become part of the built package, so that `kas run digits` works without a checkout."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STUDIES = [str(path) for path in sorted(Path("studies").glob("*.*")) if path.suffix in (".yaml", ".py")]


class BuildWithStudies(build_py):
    """Copies them to `kas/studies` of what is built; an editable installation reads the folder itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "kas" / "studies"
            self.mkpath(str(folder))
            for path in STUDIES:
                self.copy_file(path, str(folder / Path(path).name))

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *STUDIES]


setup(cmdclass={"build_py": BuildWithStudies})
