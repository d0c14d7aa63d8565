import { createTheme } from "@mui/material/styles";

/** One accent. Other colours mean a status and never stand alone. */
export const theme = createTheme({
  cssVariables: { colorSchemeSelector: "data-scheme" },
  colorSchemes: {
    light: {
      palette: {
        primary: { main: "#1f5fc9" },
        background: { default: "#ffffff", paper: "#ffffff" },
        text: { primary: "#16191d", secondary: "#565e68" },
        divider: "#dfe3e8",
      },
    },
    dark: {
      palette: {
        primary: { main: "#7fb0ff" },
        background: { default: "#14171a", paper: "#1a1e22" },
        text: { primary: "#e6e9ec", secondary: "#a0a9b3" },
        divider: "#2c3238",
      },
    },
  },
  typography: {
    fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif',
    fontSize: 13,
    htmlFontSize: 16,
    body1: { fontSize: 13 },
    body2: { fontSize: 13 },
    button: { textTransform: "none", fontSize: 13, fontWeight: 500 },
    h1: { fontSize: 17, fontWeight: 600 },
    h2: { fontSize: 14, fontWeight: 600 },
  },
  shape: { borderRadius: 4 },
  transitions: { create: () => "none" },
  components: {
    MuiButtonBase: { defaultProps: { disableRipple: true } },
    MuiButton: {
      defaultProps: { size: "small", disableElevation: true },
      styleOverrides: { root: { minHeight: 28, padding: "2px 10px", whiteSpace: "nowrap" } },
    },
    MuiTextField: { defaultProps: { size: "small", variant: "outlined" } },
    MuiSelect: { defaultProps: { size: "small" } },
    MuiOutlinedInput: { styleOverrides: { root: { fontSize: 13 }, input: { padding: "5px 9px", height: 18 } } },
    MuiInputLabel: { styleOverrides: { root: { fontSize: 13, "&:not(.MuiInputLabel-shrink)": { transform: "translate(10px, 4px)" } } } },
    MuiToggleButton: {
      styleOverrides: {
        root: {
          color: "var(--mui-palette-text-primary)",
          textTransform: "none",
          padding: "3px 16px",
          "&.Mui-selected, &.Mui-selected:hover": { color: "var(--accent)", background: "var(--chosen)" },
        },
      },
    },
    MuiMenuItem: { styleOverrides: { root: { fontSize: 13, minHeight: 30 } } },
    MuiMenu: { defaultProps: { transitionDuration: 0 } },
    MuiDialog: { defaultProps: { transitionDuration: 0 } },
    MuiPaper: { defaultProps: { elevation: 0 }, styleOverrides: { root: { backgroundImage: "none" } } },
    MuiTabs: { styleOverrides: { root: { minHeight: 34 }, indicator: { transition: "none" } } },
    MuiTab: { styleOverrides: { root: { minHeight: 34, padding: "4px 12px", minWidth: 0, textTransform: "none" } } },
    MuiTooltip: { defaultProps: { enterDelay: 400, disableInteractive: true } },
    MuiCheckbox: { defaultProps: { size: "small" }, styleOverrides: { root: { padding: 4 } } },
  },
});
