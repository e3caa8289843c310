// Question: how does the text of a kernel, WGSL in a subset near C, become CUDA C++?
//
// Declarations are turned round (`let x: f32` is `const float x`), types and built-in functions get CUDA's names, all
// else is C already. Memory of a thread becomes members of a struct, whose methods are the kernel's functions: they stay
// in registers once all is inlined. Values begin as zero, as WGSL has it; shared memory alone does not.
//
//   type         f32 i32 u32 bool vec2<T> vec3<T> vec4<T> array<T, N>
//   declaration  let, const, var, var<private>, var<workgroup>, fn
//   statement    if, else, for, while, loop, break, continue, return, as in C

import type { ElementType, KernelWork } from "../gpu/work.ts";

type Kind = "name" | "number" | "sign";
interface Token {
  readonly kind: Kind;
  readonly text: string;
}

const pattern =
  /\s+|\/\/[^\n]*|(?<number>0[xX][0-9a-fA-F]+[iu]?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fiu]?)|(?<name>[A-Za-z_]\w*)|(?<sign>->|<<=|>>=|[-+*/%&|^]=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%&|^~!<>=(){}[\];,.:?])/gy;

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  pattern.lastIndex = 0;
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(text);
    if (!found) throw untranslatable(`the sign ${JSON.stringify(text[at])} is unknown`, text.slice(at, at + 40));
    for (const kind of ["number", "name", "sign"] as const) {
      const token = found.groups?.[kind];
      if (token !== undefined) tokens.push({ kind, text: token });
    }
  }
  return tokens;
}

const untranslatable = (what: string, where: string): Error =>
  new Error(`translate: ${what}, near "${where}"; see translate.ts for what may be written. Please report it.`);

const scalars: Readonly<Record<string, string>> = { f32: "float", i32: "int", u32: "u32", bool: "bool" };
const vectors: Readonly<Record<string, string>> = { f32: "float", i32: "int", u32: "uint" };

/** WGSL's own functions that the prelude has under the same name, in a namespace. */
const builtIn: ReadonlySet<string> = new Set(
  "abs acos asin atan atan2 ceil clamp cos cosh countOneBits cross distance dot exp exp2 floor fma fract inverseSqrt length log log2 max min mix pow reverseBits round saturate select sign sin sinh sqrt step tan tanh trunc workgroupUniformLoad".split(
    " ",
  ),
);

/** Functions with a name of their own in CUDA. */
const renamed: Readonly<Record<string, string>> = {
  workgroupBarrier: "__syncthreads",
  storageBarrier: "__threadfence_block",
};

/** Names that mean something else in C++. */
const reserved: ReadonlySet<string> = new Set(
  "asm auto case catch char class const_cast decltype default delete do double enum explicit export extern float friend goto inline int long mutable namespace new operator private protected public register short signed sizeof static struct template this throw try typedef typename union unsigned using virtual void volatile xor or and not bitand bitor compl group_ lane_".split(
    " ",
  ),
);

/** Where a declaration of the outermost level lies. */
type Space = "function" | "thread" | "shared" | "constant";

interface Declaration {
  readonly space: Space;
  readonly text: string;
}

interface ParsedType {
  readonly base: string;
  /** Such as "[4][3]". */
  readonly extents: string;
}

/** Goes through the tokens of one text. */
class Translation {
  private at = 0;
  private readonly tokens: readonly Token[];
  private readonly operands: ReadonlyMap<string, string>;

  /** @param operands names of the operands' arrays, by how the text calls them */
  constructor(text: string, operands: ReadonlyMap<string, string> = new Map()) {
    this.tokens = tokensOf(text);
    this.operands = operands;
  }

  /** All statements up to the end. */
  statements(): string {
    let text = "";
    while (this.at < this.tokens.length) text += this.next();
    return text;
  }

  /** All declarations of the outermost level. */
  declarations(): Declaration[] {
    const found: Declaration[] = [];
    while (this.at < this.tokens.length) {
      const word = this.take().text;
      if (word === "fn") found.push({ space: "function", text: this.fn() });
      else if (word === "const") found.push({ space: "constant", text: `static constexpr ${this.variable()}` });
      else if (word === "var") {
        const space = this.space();
        found.push({ space, text: `${space === "shared" ? "__shared__ " : ""}${this.variable(space !== "shared")}` });
      } else throw this.error(`${JSON.stringify(word)} cannot begin a declaration`);
    }
    return found;
  }

  private space(): "thread" | "shared" {
    this.expect("<");
    const space = this.take().text;
    this.expect(">");
    if (space === "private") return "thread";
    if (space === "workgroup") return "shared";
    throw this.error(`a variable in ${space} memory is unknown`);
  }

  /** `name: type = value;` up to the value or the semicolon. */
  private variable(begins = false): string {
    const name = this.name();
    let type: ParsedType = { base: "auto", extents: "" };
    if (this.sees(":")) {
      this.expect(":");
      type = this.type();
    }
    if (this.sees("=")) return `${type.base} ${name}${type.extents} ${this.upTo(";")}`;
    this.expect(";");
    return `${type.base} ${name}${type.extents}${begins ? " = {}" : ""};`;
  }

  private fn(): string {
    const name = this.name();
    const parameters: string[] = [];
    this.expect("(");
    while (!this.sees(")")) {
      const parameter = this.name();
      this.expect(":");
      parameters.push(`${this.valueType()} ${parameter}`);
      if (this.sees(",")) this.expect(",");
    }
    this.expect(")");
    let result = "void";
    if (this.sees("->")) {
      this.expect("->");
      result = this.valueType();
    }
    return `__device__ __forceinline__ ${result} ${name}(${parameters.join(", ")}) ${this.block()}`;
  }

  private block(): string {
    let depth = 0;
    let text = "";
    do {
      if (this.sees("{")) depth++;
      else if (this.sees("}")) depth--;
      text += this.next();
    } while (depth > 0);
    return `${text}\n`;
  }

  /** A token, or what begins with it. */
  private next(): string {
    const { kind, text } = this.take();
    if (kind === "number") return ` ${/[.eE]/.test(text) && !/^0[xX]|f$/.test(text) ? `${text}f` : text}`;
    if (kind === "sign") return text === ";" || text === "{" || text === "}" ? `${text}\n` : text;
    if (text === "let") return `const ${this.variable()}`;
    if (text === "const") return `constexpr ${this.variable()}`;
    if (text === "var") {
      if (this.sees("<")) throw this.error("a body declares variables of its threads alone");
      return this.variable(true);
    }
    if (text === "bitcast") {
      this.expect("<");
      const type = this.take().text;
      this.expect(">");
      return ` bitsAs_${type}`;
    }
    if (text === "array" || /^vec[234]$/.test(text) || Object.hasOwn(scalars, text)) {
      this.at--;
      const { base, extents } = this.type();
      if (extents !== "") throw this.error("arrays have no constructor");
      return text.startsWith("vec") ? ` make_${base}` : ` ${base}`;
    }
    if (this.sees("(")) {
      if (Object.hasOwn(renamed, text)) return ` ${renamed[text]}`;
      if (builtIn.has(text)) return ` wgsl::${text}`;
    }
    if (text === "loop" && this.sees("{")) return " for (;;)";
    const operand = this.sees("[") ? this.operands.get(text) : undefined;
    return ` ${operand ?? named(text)}`;
  }

  private upTo(end: string): string {
    let text = "";
    while (!this.sees(end)) text += this.next();
    this.expect(end);
    return `${text}${end} `;
  }

  private type(): ParsedType {
    const { text } = this.take();
    const scalar = Object.hasOwn(scalars, text) ? scalars[text] : undefined;
    if (scalar !== undefined) return { base: scalar, extents: "" };
    if (/^vec[234]$/.test(text)) {
      this.expect("<");
      const of = this.take().text;
      this.expect(">");
      const base = Object.hasOwn(vectors, of) ? vectors[of] : undefined;
      if (base === undefined) throw this.error(`a vector of ${of} is unknown`);
      return { base: `${base}${text.at(-1)}`, extents: "" };
    }
    if (text === "array") {
      this.expect("<");
      const inner = this.type();
      this.expect(",");
      const extent = this.take().text.replace(/[iu]$/, "");
      this.closeAngle();
      return { base: inner.base, extents: `[${extent}]${inner.extents}` };
    }
    throw this.error(`the type ${text} is unknown`);
  }

  private valueType(): string {
    const { base, extents } = this.type();
    if (extents !== "") throw this.error("functions take and give no arrays");
    return base;
  }

  private name(): string {
    const { kind, text } = this.take();
    if (kind !== "name") throw this.error(`${JSON.stringify(text)} is no name`);
    return named(text);
  }

  private closeAngle(): void {
    this.expect(">");
  }

  private sees(text: string): boolean {
    return this.tokens[this.at]?.text === text;
  }

  private take(): Token {
    const token = this.tokens[this.at++];
    if (!token) throw this.error("the text ends too early");
    return token;
  }

  private expect(text: string): void {
    const found = this.take();
    if (found.text !== text)
      throw this.error(`${JSON.stringify(text)} is expected and ${JSON.stringify(found.text)} is there`);
  }

  private error(what: string): Error {
    const near = this.tokens.slice(Math.max(0, this.at - 8), this.at + 4);
    return untranslatable(what, near.map(({ text }) => text).join(" "));
  }
}

const named = (text: string): string => (reserved.has(text) ? `${text}_` : text);

const pointers: Readonly<Record<ElementType, string>> = { f32: "float*", i32: "int*", u32: "u32*", bf16: "Narrow*" };

/** The parts of a kernel in CUDA C++. */
export interface Translated {
  /** What lies beside the struct: shared memory and constants. */
  readonly outside: readonly string[];
  /** Members and methods of a thread. */
  readonly members: readonly string[];
  readonly body: string;
  /** Types and names of the operands, in order. */
  readonly parameters: readonly (readonly [type: string, name: string])[];
}

/** Translate a kernel. */
export function translate({ operands, functions, body }: KernelWork): Translated {
  const names = new Map(operands.map(({ name }) => [name, `of_${name}`]));
  const declared = functions.flatMap((text) => new Translation(text).declarations());
  const inThread = ({ space }: Declaration): boolean => space === "thread" || space === "function";
  return {
    outside: declared.filter((each) => !inThread(each)).map(({ text }) => text),
    members: declared.filter(inThread).map(({ text }) => text),
    body: new Translation(body, names).statements(),
    parameters: operands.map(({ name, type }) => [pointers[type], `of_${name}`] as const),
  };
}
