"""Texts that a parser stumbles over: soup, bytes, broken maps, towers of powers, nests, huge numbers, odd names."""

from __future__ import annotations

import random

FUNCTIONS = (
    *("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf"),
    *("ln", "abs", "sign", "max", "min"),
)  # all that the parser knows

MAPS = (
    "r*x*(1-x)",
    "r*x - x^3/10^6 - x^5",
    "x*exp(r-x)",
    "r*x/(1+x**4)",
    "-r*x + x^2 - 99/100*x^3",
    "r*sin(pi*x)/pi",
    "max(0, r*x) - 0.5*abs(x)",
    "1 - r*x**2 + 0.3e-2*tanh(x)",
    "r*x*(1 + 0.1*x)**(-2.5)",
    "sqrt(1 + x^2)*log(2 + r) - erf(x/E)",
)
NAMES = (
    "x",
    "r",
    "tanh",
    "Abs",
    "J_0_0",
    "E",
    "pi",
    "I",
    "lambda",
    "x y",
    "",
    "été",
    "ℏ",
    "x1",
    "__class__",
    "S",
    "N",
    "Q",
)
_SOUP = "xr0123456789.eE+-*/^(), \tpisqrtexplogj_[]{}'\"\\;:=<>!@#%&|~`?\n\0√π²×−ｘ١"


def number(rng: random.Random) -> str:
    """A number that parsers stumble over: huge, tiny, long, or none of that."""
    long = f"({rng.getrandbits(rng.choice([8, 64, 300]))}/{rng.getrandbits(rng.choice([8, 64, 300])) + 1})"
    plain = [
        "0",
        "1",
        "2",
        "3",
        "-1",
        "0.5",
        "1e-9",
        "1e308",
        "1e-300",
        "2/3",
        "137",
        "pi",
        "E",
        "0x1F",
        "1_000",
        "1e999",
    ]
    return rng.choice([*plain, "9" * rng.randint(1, 60), f"{rng.random():.17g}", f"1e{rng.randint(-999, 999)}", long])


def formula(rng: random.Random, depth: int) -> str:
    """A formula in ``x`` and ``r`` of the parser's own grammar."""
    kind = rng.random()
    if depth <= 0 or kind < 0.15:
        return rng.choice(["x", "r", number(rng)])
    if kind < 0.45:
        name, inner = rng.choice(FUNCTIONS), formula(rng, depth - 1)
        return f"{name}({inner},{formula(rng, depth - 2)})" if name in ("max", "min") else f"{name}({inner})"
    if kind < 0.6:
        power = rng.choice([number(rng), "2", "3", "0.5", "-1", formula(rng, depth - 2)])
        return f"({formula(rng, depth - 1)}){rng.choice(['**', '^'])}({power})"
    if kind < 0.65:
        return f"-({formula(rng, depth - 1)})"
    return f"({formula(rng, depth - 1)}){rng.choice('+-*/')}({formula(rng, depth - 2)})"


def _soup(rng: random.Random) -> str:
    return "".join(rng.choice(_SOUP) for _ in range(rng.randint(0, 60)))


def _bytes(rng: random.Random) -> str:
    return rng.randbytes(rng.randint(0, 80)).decode(rng.choice(["latin-1", "utf-8", "utf-16"]), errors="replace")


def _broken(rng: random.Random) -> str:
    """A valid map cut short, joined to another, or with a few characters changed."""
    text = rng.choice(MAPS)
    kind = rng.random()
    if kind < 0.4:
        return text[rng.randrange(len(text)) :] if kind < 0.1 else text[: rng.randrange(len(text))]
    if kind < 0.6:
        return text[: rng.randrange(len(text))] + rng.choice(MAPS)[rng.randrange(8) :]
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(text) + 1)
        text = (
            text[:i] + rng.choice([*"()*^+-/.,xr0", "1e", "exp", "**", "x^", "²", ""]) + text[i + rng.randint(0, 2) :]
        )
    return text


def _tower(rng: random.Random) -> str:
    """Powers of powers, in both directions."""
    base = rng.choice(["x", "r", "(x+r)", "2", "(1+x)", number(rng)])
    powers = [
        rng.choice(["2", "3", "0.5", "-1", "10", "1e-3", "x", "1/3", number(rng)]) for _ in range(rng.randint(1, 12))
    ]
    if rng.random() < 0.5:
        return rng.choice(["^", "**"]).join([base, *powers])
    for p in powers:
        base = f"({base})^({p})"
    return base


def _root(rng: random.Random) -> str:
    """Roots of any order of fractions of any length, beside a symbol or not."""
    long, other = (rng.randrange(1, 10 ** rng.randrange(1, 32)) for _ in range(2))
    inner = rng.choice([f"({long}/{other})", f"({long}*x)", f"({long}+x/{other})", f"sqrt({long}*x/{other})"])
    order = rng.choice([3, 7, 10, 100, 999, 1000, 9973, 99999])
    power = rng.choice([f"{rng.randrange(1, 999)}/{order}", f"{rng.randrange(9)}.{rng.randrange(1, 999)}"])
    text = f"{inner}**({rng.choice(['', '-'])}{power})"
    return f"2**({text})" if rng.random() < 0.2 else text


def _nest(rng: random.Random) -> str:
    """Brackets, signs or functions inside one another."""
    depth, inner = rng.choice([3, 10, 40, 99, 101, 300, 2000]), rng.choice(["x", "r", "2", number(rng)])
    kind = rng.random()
    if kind < 0.3:
        return "(" * depth + inner + ")" * (depth - rng.choice([0, 0, 1]))
    if kind < 0.5:
        return rng.choice(["-", "+", "-+"]) * depth + inner
    if kind < 0.7:
        return "+".join([inner] * depth) if rng.random() < 0.5 else "*".join([f"({inner}+x)"] * depth)
    names = [rng.choice(FUNCTIONS[:-2]) for _ in range(min(depth, 40))]
    return "".join(f"{n}(" for n in names) + inner + ")" * len(names)


def _broken_formula(rng: random.Random, deepest: int) -> str:
    made = formula(rng, rng.choice([d for d in (2, 2, 4, 6, 9, 14) if d <= deepest]))
    if rng.random() < 0.2:
        i = rng.randrange(len(made))
        made = made[:i] + rng.choice(["(", ")", "*", "^", "1e", "x", ""]) + made[i + rng.randint(0, 2) :]
    return made[:3000]


def text(rng: random.Random, deepest: int = 14) -> str:
    """A text for the parser of formulas."""
    kind = rng.random()
    for share, made in ((0.2, _soup), (0.35, _bytes), (0.62, _broken), (0.7, _root), (0.82, _tower), (0.88, _nest)):
        if kind < share:
            return made(rng)
    return _broken_formula(rng, deepest)


def names(rng: random.Random) -> tuple[str, str]:
    """Names of a state and a parameter, good ones and bad ones."""
    return rng.choice(NAMES), rng.choice(NAMES)
