/** Umbra's sign: a body and its shadow. */
export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" className="u-mark">
      <circle cx="19" cy="16" r="11" opacity=".4" />
      <circle cx="12" cy="16" r="9" />
    </svg>
  );
}
