namespace Ndif.Tokenizers.Chat;

internal enum TemplateSegmentKind { Text, Print, Block }

/// <summary>A segment of the source of a template: text, or the content of a tag, <c>{{ ... }}</c> or <c>{% ... %}</c>.</summary>
/// <param name="Kind">The kind of the segment.</param>
/// <param name="Content">The text or the content of the tag.</param>
/// <param name="Line">The line where the segment starts, from 1.</param>
internal readonly record struct TemplateSegment(TemplateSegmentKind Kind, string Content, int Line);
