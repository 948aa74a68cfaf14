"""YAML text to plain data, stricter than PyYAML: no repeated keys, and 30e9 is a number."""

from __future__ import annotations

import re

import yaml
from yaml.constructor import ConstructorError

from cooperative_isac.scene.errors import Problem, SceneError

NUMBER = re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$")


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConstructorError(None, None, f"key {key} is not a text", key_node.start_mark)
            if key in seen:
                raise ConstructorError(None, None, f"key '{key}' appears twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {first: list(rules)
                                   for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789."))


def parse_yaml(text: str, source: str) -> dict:
    """The mapping that a YAML text holds; SceneError names the line of a fault."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise SceneError(place, [Problem("", f"not valid YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise SceneError(source, [Problem("", f"not valid YAML: {error}")]) from None
    if not isinstance(data, dict):
        raise SceneError(source, [Problem("", "must be a mapping of keys, such as 'dimension: 3'")])
    return data
