CREATE TABLE page_views (
  page text PRIMARY KEY,
  views bigint NOT NULL
);
