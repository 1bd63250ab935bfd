/** A new password, typed twice. */
import { PasswordInput } from '@mantine/core';

export interface NewPasswordValue {
  readonly password: string;
  readonly again: string;
}

export const noPassword: NewPasswordValue = { password: '', again: '' };

/** For `useApiForm`'s further fields. */
export const differing = ({ password, again }: NewPasswordValue): { again?: string } =>
  password === again ? {} : { again: 'Both are to be the same.' };

export function NewPassword({
  value,
  onChange,
  field,
}: {
  readonly value: NewPasswordValue;
  readonly onChange: (value: NewPasswordValue) => void;
  readonly field: (name: string) => object;
}) {
  const visibilityToggleButtonProps = { 'aria-label': 'Show or hide the password' };
  return (
    <>
      <PasswordInput
        label="New password"
        description="At least 12 characters; nothing else is asked of it"
        autoComplete="new-password"
        visibilityToggleButtonProps={visibilityToggleButtonProps}
        value={value.password}
        onChange={(event) => onChange({ ...value, password: event.currentTarget.value })}
        {...field('password')}
      />
      <PasswordInput
        label="New password again"
        autoComplete="new-password"
        visibilityToggleButtonProps={visibilityToggleButtonProps}
        value={value.again}
        onChange={(event) => onChange({ ...value, again: event.currentTarget.value })}
        {...field('again')}
      />
    </>
  );
}
