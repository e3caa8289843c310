// Laws of the sampling rules.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkRules, drawToken, logProbability, nextTokens, type SamplingRules } from "../../src/model/sampling.ts";

const scoresOf = fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 60 });
/** Few different values: equally likely tokens. */
const tiedScoresOf = fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 60 });
const anyScores = fc.oneof(scoresOf, tiedScoresOf);
const temperatures = fc.double({ min: 0.1, max: 3, noNaN: true });
const rulesOf: fc.Arbitrary<SamplingRules> = fc.record({
  temperature: temperatures,
  topK: fc.integer({ min: 1, max: 70 }),
  topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
  minP: fc.double({ min: 0, max: 1, noNaN: true }),
  repetitionPenalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
});

function probabilities(scores: readonly number[], temperature: number): number[] {
  const highest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp((score - highest) / temperature));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

/** Tokens by falling probability, equal ones by id. */
function order(scores: readonly number[]): number[] {
  return scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
}

describe("laws", () => {
  test("probabilities sum to one and keep the model's proportions", () => {
    fc.assert(
      fc.property(anyScores, rulesOf, (scores, rules) => {
        const { tokens, probabilities: kept } = nextTokens(scores, rules);
        expect(Array.from(kept).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
        const all = probabilities(scores, rules.temperature!);
        for (let i = 1; i < tokens.length; i++) {
          expect(kept[i]! * all[tokens[0]!]!).toBeCloseTo(kept[0]! * all[tokens[i]!]!, 12);
        }
      }),
    );
  });

  test("without rules everything is kept, as likely as the model says", () => {
    fc.assert(
      fc.property(anyScores, temperatures, (scores, temperature) => {
        const { tokens, probabilities: kept } = nextTokens(scores, { temperature });
        expect(Array.from(tokens)).toEqual(scores.map((_, i) => i));
        const all = probabilities(scores, temperature);
        Array.from(kept).forEach((value, i) => expect(value).toBeCloseTo(all[i]!, 12));
      }),
    );
  });

  test("top-k keeps the k most likely", () => {
    fc.assert(
      fc.property(anyScores, fc.integer({ min: 1, max: 70 }), (scores, topK) => {
        const kept = Array.from(nextTokens(scores, { temperature: 1, topK }).tokens).sort((a, b) => a - b);
        expect(kept).toEqual(
          order(scores)
            .slice(0, topK)
            .sort((a, b) => a - b),
        );
      }),
    );
  });

  test("top-p keeps the smallest set of at least that mass", () => {
    fc.assert(
      fc.property(anyScores, fc.double({ min: 0.01, max: 0.999, noNaN: true }), (scores, topP) => {
        const kept = Array.from(nextTokens(scores, { temperature: 1, topP }).tokens);
        expect(kept).toEqual(order(scores).slice(0, kept.length));
        const all = probabilities(scores, 1);
        const mass = kept.reduce((sum, token) => sum + all[token]!, 0);
        expect(mass).toBeGreaterThanOrEqual(topP - 1e-12);
        expect(mass - all[kept.at(-1)!]!).toBeLessThan(topP + 1e-12);
      }),
    );
  });

  test("top-p after top-k is a share of what top-k left", () => {
    fc.assert(
      fc.property(
        scoresOf,
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0.01, max: 0.999, noNaN: true }),
        (scores, topK, topP) => {
          const kept = Array.from(nextTokens(scores, { temperature: 1, topK, topP }).tokens);
          const few = order(scores).slice(0, topK);
          const all = probabilities(scores, 1);
          const mass = (tokens: readonly number[]): number => tokens.reduce((sum, token) => sum + all[token]!, 0);
          expect(kept).toEqual(few.slice(0, kept.length));
          expect(mass(kept)).toBeGreaterThanOrEqual((topP - 1e-12) * mass(few));
          expect(mass(kept.slice(0, -1))).toBeLessThan((topP + 1e-12) * mass(few));
        },
      ),
    );
  });

  test("min-p keeps what is likely enough beside the most likely", () => {
    fc.assert(
      fc.property(anyScores, fc.double({ min: 0, max: 1, noNaN: true }), (scores, minP) => {
        const all = probabilities(scores, 1);
        const highest = Math.max(...all);
        const kept = new Set(Array.from(nextTokens(scores, { temperature: 1, minP }).tokens));
        all.forEach((probability, token) => {
          if (Math.abs(probability / highest - minP) > 1e-9) expect(kept.has(token)).toBe(probability / highest > minP);
        });
        expect(kept.size).toBeGreaterThan(0);
      }),
    );
  });

  test("temperature 0 takes the most likely, whatever the other rules", () => {
    fc.assert(
      fc.property(anyScores, rulesOf, fc.double({ min: 0, max: 0.999, noNaN: true }), (scores, rules, random) => {
        expect(drawToken(nextTokens(scores, { ...rules, temperature: 0 }), random)).toBe(order(scores)[0]);
      }),
    );
  });

  test("a repetition penalty of 1 is none; a larger one makes seen tokens less likely, a smaller one more", () => {
    fc.assert(
      fc.property(scoresOf, rulesOf, fc.nat(), (scores, { repetitionPenalty, ...rules }, pick) => {
        const seen = [pick % scores.length];
        expect(nextTokens(scores, { ...rules, repetitionPenalty: 1 }, seen)).toEqual(nextTokens(scores, rules));
        const share = (penalty: number): number =>
          nextTokens(scores, { temperature: 1, repetitionPenalty: penalty }, seen).probabilities[seen[0]!]!;
        const difference = share(repetitionPenalty!) - share(1);
        if (repetitionPenalty! >= 1) expect(difference).toBeLessThanOrEqual(1e-12);
        else expect(difference).toBeGreaterThanOrEqual(-1e-12);
      }),
    );
  });

  test("draws are in proportion, and only of what is kept", () => {
    fc.assert(
      fc.property(scoresOf, rulesOf, (scores, rules) => {
        const distribution = nextTokens(scores, rules, [0]);
        const count = 4000;
        const found = new Map<number, number>();
        for (let i = 0; i < count; i++) {
          const token = drawToken(distribution, (i + 0.5) / count);
          found.set(token, (found.get(token) ?? 0) + 1);
        }
        Array.from(distribution.tokens).forEach((token, i) => {
          expect(Math.abs((found.get(token) ?? 0) / count - distribution.probabilities[i]!)).toBeLessThan(2 / count);
          found.delete(token);
        });
        expect(found.size).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test("log-probabilities are those of the softmax", () => {
    fc.assert(
      fc.property(anyScores, fc.nat(), (scores, pick) => {
        const token = pick % scores.length;
        expect(logProbability(scores, token)).toBeCloseTo(Math.log(probabilities(scores, 1)[token]!), 9);
      }),
    );
  });
});

test("rules that make no sense are told", () => {
  const wrong: Record<string, [SamplingRules, string]> = {
    temperature: [{ temperature: Number.NaN }, "generate: the temperature must be 0 or more, got NaN."],
    topK: [{ topK: 1.5 }, "generate: topK must be a whole number of at least 1, got 1.5."],
    topP: [{ topP: 0 }, "generate: topP must be above 0 and at most 1, got 0."],
    minP: [{ minP: 2 }, "generate: minP must be from 0 to 1, got 2."],
    penalty: [{ repetitionPenalty: 0 }, "generate: repetitionPenalty must be above 0 (1 changes nothing), got 0."],
  };
  for (const [rules, message] of Object.values(wrong)) expect(() => checkRules(rules)).toThrow(message);
  expect(() => checkRules({ temperature: 0, topK: 1, topP: 1, minP: 1, repetitionPenalty: 1 })).not.toThrow();
});

describe("scores that are no distribution", () => {
  const rules = [{ temperature: 0 }, { temperature: 1 }, { topK: 2 }, { topP: 0.5 }, { minP: 0.1 }] as const;
  test.each(rules)("choose nothing with %j", (rule) => {
    expect(() => nextTokens([1, NaN, 2], rule)).toThrow(/^generate: the score of token 1 is NaN; allowed are numbers/);
    expect(() => nextTokens([1, 2, Infinity], rule)).toThrow(/^generate: the score of token 2 is Infinity; allowed/);
    expect(() => nextTokens([-Infinity, -Infinity], rule)).toThrow(/^generate: the scores are all -Infinity; at least/);
  });
  test.each([1e-320, 1e-30, 1, 1e38, 1e308])("extreme options leave probabilities: %d", (extreme) => {
    for (const rule of [
      { temperature: extreme },
      { repetitionPenalty: extreme },
      { temperature: extreme, repetitionPenalty: extreme, topK: 1 },
      { topP: Math.min(1, extreme) },
      { minP: Math.min(1, extreme) },
    ]) {
      const { tokens, probabilities } = nextTokens([3, -2, -Infinity, 3], rule, [0, 1, 2]);
      const total = Array.from(probabilities).reduce((sum, p) => sum + p, 0);
      expect(total, JSON.stringify(rule)).toBeCloseTo(1, 12);
      expect(tokens.length).toBeGreaterThan(0);
      const taken = Array.from(tokens).indexOf(2);
      if (taken >= 0) expect(probabilities[taken]).toBe(0);
    }
  });
});
