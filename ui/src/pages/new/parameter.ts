/** What a JSON schema says about one parameter. */
export interface Property {
  type?: string;
  default?: unknown;
  description?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  enum?: string[];
}

/** A parameter that may be null is described by its other half. */
export function propertyOf({ anyOf, ...given }: Property & { anyOf?: Property[] }): Property {
  return { ...anyOf?.find((one) => one.type !== "null"), ...given };
}

/** The value that a text stands for: undefined for none; or what is wrong with it. */
export function checked(text: string, property: Property): string | number | boolean | undefined | { wrong: string } {
  const written = text.trim();
  if (written === "") return undefined;
  if (property.type === "boolean") return written === "true";
  if (property.type !== "integer" && property.type !== "number") return written;
  const number = Number(written);
  if (!Number.isFinite(number)) return { wrong: "Must be a number." };
  if (property.type === "integer" && !Number.isInteger(number)) return { wrong: "Must be a whole number." };
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below } = property;
  if (minimum !== undefined && number < minimum) return { wrong: `Must be at least ${minimum}.` };
  if (maximum !== undefined && number > maximum) return { wrong: `Must be at most ${maximum}.` };
  if (above !== undefined && number <= above) return { wrong: `Must be more than ${above}.` };
  if (below !== undefined && number >= below) return { wrong: `Must be less than ${below}.` };
  return number;
}
