export interface Field {
  name: string;
  /** One text per job; empty where it has none. */
  values: string[];
}

const NOT_COMPARED = new Set(["name", "labels", "notes", "source", "snapshot"]);

/** The fields that are not the same in all specs; those within mappings one by one. */
export function differences(specs: object[]): Field[] {
  const flat = specs.map((spec) => new Map(flattened(spec, "")));
  const names = [...new Set(flat.flatMap((one) => [...one.keys()]))];
  return names
    .map((name) => ({ name, values: flat.map((one) => one.get(name) ?? "") }))
    .filter((field) => new Set(field.values).size > 1);
}

function flattened(value: object, prefix: string): [string, string][] {
  return Object.entries(value).flatMap(([key, one]: [string, unknown]): [string, string][] => {
    if (prefix === "" && NOT_COMPARED.has(key)) return [];
    if (one === null || one === undefined) return [];
    if (typeof one === "object" && !Array.isArray(one)) return flattened(one, key === "parameters" ? "" : `${prefix}${key}.`);
    return [[`${prefix}${key}`, typeof one === "string" ? one : JSON.stringify(one)]];
  });
}
