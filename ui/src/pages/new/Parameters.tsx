import { MenuItem, TextField } from "@mui/material";
import { useState } from "react";
import { checked, type Property, propertyOf } from "./parameter";

export interface ParameterSchema {
  properties: Record<string, Property & { anyOf?: Property[] }>;
}

interface ParametersProps {
  schema: ParameterSchema;
  values: Record<string, unknown>;
  onChange: (values: Record<string, unknown>) => void;
}

/** The trainer's parameters. An empty field has the default. */
export function Parameters({ schema, values, onChange }: ParametersProps) {
  return (
    <fieldset>
      <legend>Parameters</legend>
      <div className="parameters">
        {Object.entries(schema.properties).map(([name, given]) => (
          <Parameter
            key={name}
            name={name}
            property={propertyOf(given)}
            value={values[name]}
            onChange={(value) => {
              const { [name]: _, ...rest } = values;
              onChange(value === undefined ? rest : { ...rest, [name]: value });
            }}
          />
        ))}
      </div>
    </fieldset>
  );
}

interface ParameterProps {
  name: string;
  property: Property;
  value: unknown;
  onChange: (value: unknown) => void;
}

function Parameter({ name, property, value, onChange }: ParameterProps) {
  const [text, setText] = useState<string | null>(null);
  const shown = text ?? (value === undefined ? "" : String(value));
  const outcome = checked(shown, property);
  const bad = typeof outcome === "object" && outcome !== null;
  return (
    <TextField
      label={name.replaceAll("_", " ")}
      select={property.enum !== undefined}
      value={shown}
      error={bad}
      helperText={bad ? outcome.wrong : property.description}
      onChange={(event) => {
        setText(event.target.value);
        const read = checked(event.target.value, property);
        if (typeof read !== "object") onChange(read);
      }}
      onBlur={() => !bad && setText(null)}
      slotProps={{
        inputLabel: { shrink: true },
        select: { displayEmpty: true, renderValue: (chosen) => (chosen as string) || <span className="quiet">{String(property.default ?? "none")}</span> },
        htmlInput: { inputMode: property.type === "string" ? "text" : "decimal" },
        input: { placeholder: property.default === null || property.default === undefined ? "none" : String(property.default) },
      }}
    >
      {property.enum?.map((one) => (
        <MenuItem key={one} value={one}>
          {one}
        </MenuItem>
      ))}
    </TextField>
  );
}
