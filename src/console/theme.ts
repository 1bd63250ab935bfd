/** Mantine's components as this console wants them: small, quiet, square enough. */
import { createTheme, type MantineColorsTuple } from '@mantine/core';

/** Of Umbra; shade 6 on white and shade 4 on black have a contrast of 4.5 and more. */
const umbra: MantineColorsTuple = [
  ...(['#eef1ff', '#dce2fb', '#b9c4f3', '#94a5ec', '#8296ea'] as const),
  ...(['#5f78dd', '#4560d0', '#3a52b8', '#3147a3', '#263a8c'] as const),
];

const closeButtonProps = { 'aria-label': 'Close' } as const;
const small = { defaultProps: { size: 'xs' } } as const;

export const theme = createTheme({
  primaryColor: 'umbra',
  primaryShade: { light: 6, dark: 6 },
  colors: { umbra },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "ui-monospace, 'JetBrains Mono', 'DejaVu Sans Mono', monospace",
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  defaultRadius: 'sm',
  cursorType: 'pointer',
  respectReducedMotion: true,
  autoContrast: true,
  components: {
    Button: small,
    TextInput: { defaultProps: { size: 'sm' } },
    Select: { defaultProps: { size: 'sm' } },
    Drawer: { defaultProps: { closeButtonProps } },
    Modal: {
      defaultProps: {
        closeButtonProps,
        overlayProps: { backgroundOpacity: 0.4 },
        transitionProps: { duration: 120 },
      },
    },
    Tooltip: {
      defaultProps: { withArrow: true, openDelay: 250, transitionProps: { duration: 80 } },
    },
  },
});
